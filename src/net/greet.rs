//! Handshake messages over a socket, each within its time.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::error::DialError;
use crate::handshake::{Prefix, TOTAL_FACTOR};

/// A socket on which two nodes introduce themselves. Each step has the set-up time, all of them four times that.
pub(crate) struct Greeting<'a, S> {
    stream: &'a mut S,
    prefix: Prefix,
    step: Duration,
    last: Instant,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Greeting<'a, S> {
    pub(crate) fn new(stream: &'a mut S, prefix: Prefix, step: Duration) -> Self {
        Self { stream, prefix, step, last: Instant::now() + step * TOTAL_FACTOR }
    }

    /// Writes what a machine wants written, in one piece.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let deadline = self.deadline();
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout_at(deadline, written).await {
            Ok(written) => written.map_err(|error| DialError::from_io(&error)),
            Err(_elapsed) => Err(DialError::TimedOut("the peer did not take our handshake message")),
        }
    }

    /// The body of the next message, and not a byte beyond it. `None` where the peer has closed.
    pub(crate) async fn receive(&mut self) -> Result<Option<Vec<u8>>, DialError> {
        let deadline = self.deadline();
        let (stream, prefix) = (&mut *self.stream, self.prefix);
        let body = async {
            let mut head = [0; 4];
            let head = &mut head[..prefix.len()];
            if !filled(stream.read_exact(head).await)? {
                return Ok(None);
            }
            let mut body = vec![0; prefix.body_len(head)?];
            Ok(filled(stream.read_exact(&mut body).await)?.then_some(body))
        };
        match timeout_at(deadline, body).await {
            Ok(body) => body,
            Err(_elapsed) => Err(DialError::TimedOut("the peer did not go on with the handshake")),
        }
    }

    fn deadline(&self) -> Instant {
        self.last.min(Instant::now() + self.step)
    }
}

/// Whether a read got all its bytes; false where the peer has closed.
fn filled(read: std::io::Result<usize>) -> Result<bool, DialError> {
    use std::io::ErrorKind;
    match read {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Ok(false),
        Err(error) => Err(DialError::from_io(&error)),
    }
}
