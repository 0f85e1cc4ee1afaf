//! One HTTP request and its answer, over any stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// No answer is longer.
const LONGEST: usize = 16 << 20;

/// Asks for a path, and reads the status and the body of the answer. `headers` are whole lines.
pub(super) async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
    headers: &str,
) -> io::Result<(u16, Vec<u8>)> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}accept: application/json\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        // A server that closes without TLS's goodbye has ended all the same; a length says whether too early.
        let ended = match stream.read_buf(&mut bytes).await {
            Ok(read) => read == 0,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => true,
            Err(error) => return Err(error),
        };
        if let Some(answer) = response(&bytes, ended).map_err(io::Error::other)? {
            return Ok(answer);
        }
        if ended || bytes.len() > LONGEST {
            return Err(io::Error::other("the answer is too long or cut short"));
        }
    }
}

/// An HTTP answer's status and body, once it is whole; an error for what is no answer.
fn response(bytes: &[u8], ended: bool) -> Result<Option<(u16, Vec<u8>)>, &'static str> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = bytes.windows(END.len()).position(|window| window == END) else {
        return if ended { Err("the answer ends in its head") } else { Ok(None) };
    };
    let (head, body) = bytes.split_at(end);
    let body = body.get(END.len()..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_binary| "the answer's head is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")).and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|code| code.parse().ok()).ok_or("the answer is not HTTP")?;
    let headers = |name: &str| {
        let mut fields = lines.clone().filter_map(|line| line.split_once(':'));
        let field = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.trim().to_ascii_lowercase())
    };
    if headers("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        return match chunks(body)? {
            None if ended => Err("the answer is cut short"),
            whole => Ok(whole.map(|body| (status, body))),
        };
    }
    let len = headers("content-length").map(|len| len.parse().map_err(|_none| "the answer's length is none"));
    match len.transpose()? {
        Some(len) => match body.get(..len) {
            Some(body) => Ok(Some((status, body.into()))),
            None if ended => Err("the answer is cut short"),
            None => Ok(None),
        },
        None => Ok(ended.then(|| (status, body.into()))),
    }
}

fn chunks(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let (line, rest) = bytes.split_at(end);
        let line = std::str::from_utf8(line).ok().and_then(|line| line.split(';').next());
        let len = line.and_then(|len| usize::from_str_radix(len.trim(), 16).ok()).ok_or("a chunk has no length")?;
        if len == 0 {
            return Ok(Some(body));
        }
        let Some((chunk, after)) = rest.get(2..).and_then(|rest| rest.split_at_checked(len)) else { return Ok(None) };
        body.extend(chunk);
        let Some(after) = after.get(2..) else { return Ok(None) };
        bytes = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_whole_however_they_are_sent() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".as_slice();
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n".as_slice();
        for (whole, last) in [(plain, plain.len()), (chunked, chunked.len() - 2)] {
            assert_eq!(response(whole, false), Ok(Some((200, b"{}".to_vec()))));
            for len in 0..last {
                assert_eq!(response(&whole[..len], false), Ok(None), "{len}");
                assert!(response(&whole[..len], true).is_err(), "{len}");
            }
        }
        let to_the_end = b"HTTP/1.0 403 Forbidden\r\n\r\nno".as_slice();
        assert_eq!(response(to_the_end, false), Ok(None));
        assert_eq!(response(to_the_end, true), Ok(Some((403, b"no".to_vec()))));
        assert!(response(b"SSH-2.0\r\n\r\n", false).is_err());
        assert!(response(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false).is_err());
        assert!(response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", false).is_err());
    }
}
