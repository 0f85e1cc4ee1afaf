//! The loop of a server: one request after the other.

use super::system::{System, handle_system};
use super::{Context, GenServer, Reply};
use crate::etf::Encoded;
use crate::process::call::{Request, classify};
use crate::process::{Exit, From, Mail};

/// Runs a server until it, or somebody else, ends it.
pub(crate) async fn serve<S: GenServer>(mut server: S, mut context: Context) -> Exit {
    let End { why, reply } = match work(&mut server, &mut context).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    server.terminate(why.reason(), &mut context).await;
    if let Some((from, reply)) = reply {
        answer(&context, &from, &reply);
    }
    why
}

enum Never {}

/// Why a server ends, and what the caller that ended it is told.
struct End {
    why: Exit,
    reply: Option<(From, Encoded)>,
}

impl std::convert::From<Exit> for End {
    fn from(why: Exit) -> Self {
        Self { why, reply: None }
    }
}

async fn work<S: GenServer>(server: &mut S, context: &mut Context) -> Result<Never, End> {
    server.init(context).await?;
    let mut suspended = false;
    loop {
        while let Some(continuation) = context.continuation.take() {
            server.handle_continue(continuation, context).await?;
        }
        if std::mem::take(&mut context.hibernate) {
            context.process.cell().lock().mailbox.shrink_to_fit();
        }
        let Some(mail) = next(context, suspended).await? else {
            server.timeout(context).await?;
            continue;
        };
        let message = match &mail {
            Mail::Message(message) => message,
            Mail::Exit(exit) if Some(exit.from) == context.parent => {
                return Err(Exit::encoded(exit.reason.clone()).into());
            }
            Mail::Exit(_) | Mail::Down(_) | Mail::SpawnReply(_) => {
                server.info(mail, context).await?;
                continue;
            }
        };
        match classify(message) {
            Request::Call(from, request) => handle_call(server, from, request, context).await?,
            Request::Cast(request) => server.cast(request, context).await?,
            Request::System(from, request) => {
                match handle_system(&request, &from, server, &context.process, suspended) {
                    System::Answered => {}
                    System::Suspended(now) => suspended = now,
                    System::Terminate(why) => return Err(Exit::encoded(why).into()),
                }
            }
            Request::Info => server.info(mail, context).await?,
        }
    }
}

async fn handle_call<S: GenServer>(
    server: &mut S,
    from: From,
    request: Encoded,
    context: &mut Context,
) -> Result<(), End> {
    match server.call(request, from.clone(), context).await? {
        Reply::Now(reply) => answer(context, &from, &reply),
        Reply::Later => {}
        Reply::Stop(reply, why) => return Err(End { why, reply: Some((from, reply)) }),
    }
    Ok(())
}

fn answer(context: &Context, from: &From, reply: &Encoded) {
    if let Err(error) = context.process.reply_encoded(from, reply) {
        tracing::debug!(%error, "reply not sent");
    }
}

/// The next mail; `None` where the server's time-out passed first. A suspended server takes system messages only.
async fn next(context: &mut Context, suspended: bool) -> Result<Option<Mail>, Exit> {
    let wanted = move |mail: &Mail| {
        let is_system = || matches!(mail, Mail::Message(message) if matches!(classify(message), Request::System(..)));
        (!suspended || is_system()).then(|| mail.clone())
    };
    let timeout = context.timeout.take();
    let received = context.process.receive_match(wanted);
    match timeout {
        None => Ok(Some(received.await?)),
        Some(limit) => match tokio::time::timeout(limit, received).await {
            Ok(mail) => Ok(Some(mail?)),
            Err(_elapsed) => Ok(None),
        },
    }
}
