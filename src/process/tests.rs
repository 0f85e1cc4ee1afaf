//! Processes of one node, among themselves.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::router::{Identity, Router};
use super::{Answer, CallError, Dest, Exit, Exited, Mail, Process, RegisterError, Registry, SendError, run};
use crate::term::{Atom, Creation, Pid, Term};

fn router() -> Arc<Router> {
    let identity = Identity { node: Atom::new("test@host"), creation: Creation(7) };
    Arc::new(Router::new(identity, 1, 1024, mpsc::unbounded_channel().0))
}

fn process(router: &Arc<Router>) -> Process {
    Process::new(Arc::clone(router), None, (Atom::new("test"), Atom::new("process"), 0))
}

fn spawn<F, Fut>(router: &Arc<Router>, body: F) -> Pid
where
    F: FnOnce(Process) -> Fut + Send + 'static,
    Fut: Future<Output: super::Outcome> + Send + 'static,
{
    let process = process(router);
    let pid = process.pid();
    tokio::spawn(run(process, body));
    pid
}

async fn next_term(process: &mut Process) -> Term {
    process.receive().await.expect("the process lives").term().expect("mail is a term")
}

#[tokio::test]
async fn messages_of_one_sender_arrive_in_order() {
    let router = router();
    let (sender, mut receiver) = (process(&router), process(&router));
    for n in 0..100 {
        sender.send(receiver.pid(), &Term::from(n)).await.expect("both live");
    }
    for n in 0..100 {
        assert_eq!(next_term(&mut receiver).await, Term::from(n));
    }
}

#[tokio::test]
async fn selective_receive_leaves_the_rest_in_order() {
    let router = router();
    let mut me = process(&router);
    for n in 1..=3 {
        me.send(me.pid(), &Term::from(n)).await.expect("it lives");
    }
    let two = |mail: &Mail| mail.term().ok().filter(|term| *term == Term::from(2));
    assert_eq!(me.receive_match(two).await, Ok(Term::from(2)));
    assert_eq!(next_term(&mut me).await, Term::from(1));
    assert_eq!(next_term(&mut me).await, Term::from(3));
}

#[tokio::test]
async fn a_name_is_free_again_when_its_process_has_ended() {
    let router = router();
    let first = process(&router);
    let second = process(&router);
    first.register("server").expect("the name is free");
    assert_eq!(second.register("server"), Err(RegisterError::Taken));
    assert_eq!(first.register("other"), Err(RegisterError::HasName));
    drop(first);
    second.register("server").expect("the name is free again");
    let missing = second.send("nobody", &Term::nil()).await;
    assert_eq!(missing, Err(SendError::NoName(Atom::new("nobody"))));
}

#[tokio::test]
async fn a_monitor_tells_the_reason_and_noproc_of_the_dead() {
    let router = router();
    let mut me = process(&router);
    let pid = spawn(&router, |mut it: Process| async move {
        let _stop = it.receive().await;
        Exit::from(Term::atom("done"))
    });
    me.monitor(pid).expect("it lives");
    me.send(pid, &Term::atom("stop")).await.expect("it lives");
    for reason in ["done", "noproc"] {
        let Mail::Down(down) = me.receive().await.expect("it lives") else { panic!("a DOWN was due") };
        assert!(down.reason.is_atom(reason), "{:?}", down.reason.term());
        assert_eq!(down.object(), Term::from(pid));
        me.monitor(pid).expect("it lives");
    }
    me.monitor("nobody").expect("it lives");
    me.receive().await.expect("the noproc of the dead pid");
    let Mail::Down(down) = me.receive().await.expect("it lives") else { panic!("a DOWN was due") };
    assert_eq!(down.object(), Term::tuple([Term::atom("nobody"), Term::atom("test@host")]));
}

#[tokio::test]
async fn demonitor_flushes_a_down_that_has_come() {
    let router = router();
    let mut me = process(&router);
    let dead = process(&router).pid();
    let reference = me.monitor(dead).expect("it lives");
    assert!(!me.demonitor(reference), "its DOWN came at once");
    assert!(me.try_receive_match(|mail| Some(mail.clone())).expect("it lives").is_none());
}

#[tokio::test]
async fn links_end_both_unless_the_reason_is_normal_or_the_exit_is_trapped() {
    let router = router();
    let mut me = process(&router);
    me.trap_exit(true);
    for (reason, ends) in [("normal", false), ("oops", true)] {
        let child = process(&router);
        let grandchild = process(&router);
        grandchild.link(child.pid()).expect("it lives");
        me.link(child.pid()).expect("it lives");
        child.end(&super::reason::of(&Term::atom(reason)));
        let Mail::Exit(exit) = me.receive().await.expect("trapped") else { panic!("an EXIT was due") };
        assert_eq!(exit.from, child.pid());
        assert_eq!(grandchild.link(me.pid()).is_err(), ends, "{reason}");
        grandchild.unlink(me.pid()).ok();
    }
}

#[tokio::test]
async fn linking_to_the_dead_brings_noproc() {
    let router = router();
    let mut me = process(&router);
    me.trap_exit(true);
    let dead = process(&router).pid();
    me.link(dead).expect("it lives");
    let Mail::Exit(exit) = me.receive().await.expect("trapped") else { panic!("an EXIT was due") };
    assert!(exit.reason.is_atom("noproc"));
}

#[tokio::test]
async fn after_unlink_no_exit_comes() {
    let router = router();
    let me = process(&router);
    let child = process(&router);
    me.link(child.pid()).expect("it lives");
    me.unlink(child.pid()).expect("it lives");
    child.end(&super::reason::of(&Term::atom("oops")));
    assert!(me.monitor(child.pid()).is_ok(), "it lives on");
}

#[tokio::test]
async fn kill_cannot_be_trapped_and_becomes_killed() {
    let router = router();
    let mut me = process(&router);
    let victim = process(&router);
    victim.trap_exit(true);
    me.monitor(victim.pid()).expect("it lives");
    me.exit(victim.pid(), &Term::atom("normal")).expect("it lives");
    me.exit(victim.pid(), &Term::atom("kill")).expect("it lives");
    let Mail::Down(down) = me.receive().await.expect("it lives") else { panic!("a DOWN was due") };
    assert!(down.reason.is_atom("killed"));
    assert_eq!(victim.link(me.pid()), Err(Exited));
}

#[tokio::test]
async fn exit_normal_ends_nobody_but_the_sender_itself() {
    let router = router();
    let me = process(&router);
    let other = process(&router);
    me.exit(other.pid(), &Term::atom("normal")).expect("it lives");
    assert!(other.link(me.pid()).is_ok());
    me.exit(me.pid(), &Term::atom("normal")).expect("it lives");
    assert_eq!(me.link(other.pid()), Err(Exited));
}

#[tokio::test]
async fn a_panic_is_an_exit_with_a_reason() {
    let router = router();
    let mut me = process(&router);
    let pid = spawn(&router, |mut it: Process| async move {
        if it.receive().await.is_ok() {
            panic!("at the disco");
        }
    });
    me.monitor(pid).expect("it lives");
    me.send(pid, &Term::nil()).await.expect("it lives");
    let Mail::Down(down) = me.receive().await.expect("it lives") else { panic!("a DOWN was due") };
    let panic = Term::tuple([Term::atom("panic"), Term::from("at the disco")]);
    assert_eq!(down.reason.term(), Ok(Term::tuple([panic, Term::nil()])));
}

#[tokio::test]
async fn an_exit_signal_drops_the_future() {
    let router = router();
    let me = process(&router);
    let (sent, mut dropped) = mpsc::channel::<()>(1);
    let pid = spawn(&router, |mut it: Process| async move {
        let _held = sent;
        while it.receive().await.is_ok() {}
        std::future::pending::<()>().await;
    });
    me.exit(pid, &Term::atom("kill")).expect("it lives");
    assert_eq!(dropped.recv().await, None, "what the future held is dropped");
}

#[tokio::test]
async fn an_alias_ends_with_unalias() {
    let router = router();
    let mut me = process(&router);
    let other = process(&router);
    let alias = me.alias();
    other.send(alias, &Term::from(1)).await.expect("it lives");
    assert_eq!(next_term(&mut me).await, Term::from(1));
    assert!(me.unalias(alias));
    other.send(alias, &Term::from(2)).await.expect("sending to a dead alias is no error");
    other.send(me.pid(), &Term::from(3)).await.expect("it lives");
    assert_eq!(next_term(&mut me).await, Term::from(3));
}

#[tokio::test]
async fn calls_get_a_reply_or_the_reason_that_there_is_none() {
    let router = router();
    let server = spawn(&router, |mut it: Process| async move {
        while let Ok(Mail::Message(message)) = it.receive().await {
            if let super::call::Request::Call(from, request) = super::call::classify(&message) {
                if request.is_atom("stop") {
                    return Exit::from(Term::atom("stopped"));
                }
                it.reply_encoded(&from, &request).expect("it lives");
            }
        }
        Exit::normal()
    });
    let mut me = process(&router);
    assert_eq!(me.call(server, &Term::from(5), None).await, Ok(Term::from(5)));
    let never = process(&router);
    let timeout = Some(Duration::from_millis(10));
    assert_eq!(me.call(never.pid(), &Term::nil(), timeout).await, Err(CallError::Timeout));
    assert_eq!(me.call(server, &Term::atom("stop"), None).await, Err(CallError::Exit(Term::atom("stopped"))));
    assert_eq!(me.call("nobody", &Term::nil(), None).await, Err(CallError::Exit(Term::atom("noproc"))));
    assert!(me.try_receive_match(|mail| Some(mail.clone())).expect("it lives").is_none(), "nothing is left over");
}

#[tokio::test]
async fn a_lost_node_breaks_links_and_monitors_with_noconnection() {
    let router = router();
    let mut me = process(&router);
    me.trap_exit(true);
    let far = Pid { node: Atom::new("far@host"), id: 1, serial: 0, creation: Creation(1) };
    me.link(far).expect("it lives");
    me.monitor(far).expect("it lives");
    me.monitor(Dest::from(("name", "far@host"))).expect("it lives");
    router.node_down(far.node);
    let Mail::Exit(exit) = me.receive().await.expect("trapped") else { panic!("links break first") };
    assert!(exit.reason.is_atom("noconnection"));
    for _ in 0..2 {
        let Mail::Down(down) = me.receive().await.expect("it lives") else { panic!("a DOWN was due") };
        assert!(down.reason.is_atom("noconnection"));
    }
}

#[tokio::test]
async fn noconnect_reaches_who_is_connected_and_connects_to_nobody() {
    let identity = Identity { node: Atom::new("test@host"), creation: Creation(7) };
    let (connect, mut wishes) = mpsc::unbounded_channel();
    let router = Arc::new(Router::new(identity, 1, 1024, connect));
    let (me, far) = (process(&router), Atom::new("far@host"));
    let send = || me.send_noconnect(Atom::new("name"), far, super::reason::of(&Term::nil()));
    assert!(!send());
    assert!(wishes.try_recv().is_err(), "nobody wished for a connection");
    drop(router.attach(far));
    assert!(send());
    router.node_down(far);
    assert!(!send());
    assert!(wishes.try_recv().is_err(), "nobody wished for a connection");
}

/// Names kept by a module, which answers at once or after a while.
#[derive(Debug)]
struct Names {
    pid: Pid,
    slow: bool,
}

impl Registry for Names {
    fn register_name(&self, _: Term, _: Pid) -> Answer<'_, bool> {
        Box::pin(async { false })
    }

    fn unregister_name(&self, _: Term) -> Answer<'_, ()> {
        Box::pin(async {})
    }

    fn whereis_name(&self, name: Term) -> Answer<'_, Option<Pid>> {
        Box::pin(async move {
            if self.slow {
                tokio::task::yield_now().await;
            }
            (name == Term::from(1)).then_some(self.pid)
        })
    }
}

#[tokio::test]
async fn names_that_modules_keep_are_destinations() {
    let router = router();
    let mut server = process(&router);
    for (module, slow) in [("global", false), ("slow", true)] {
        let names = Names { pid: server.pid(), slow };
        router.add_registry(Atom::new(module), Arc::new(names));
    }
    let me = process(&router);
    let known = Term::tuple([Term::atom("global"), 1.into()]);
    assert_eq!(Dest::from_term(&known), Some(Dest::Global(1.into())));
    for dest in [Dest::Global(1.into()), Dest::Via(Atom::new("slow"), 1.into())] {
        me.send(dest.clone(), 7).await.expect("the name is known");
        assert_eq!(server.receive().await.expect("it lives").decode::<i64>().expect("an integer"), 7);
    }
    let unknown =
        [Dest::Global(2.into()), Dest::Via(Atom::new("slow"), 2.into()), Dest::Via(Atom::new("none"), 1.into())];
    for dest in unknown {
        assert!(matches!(me.send(dest.clone(), 7).await, Err(SendError::Nobody(_))), "{dest:?}");
        let mut caller = process(&router);
        let noproc = CallError::Exit(Term::atom("noproc"));
        assert_eq!(caller.call(dest.clone(), &Term::nil(), None).await, Err(noproc));
        let reference = caller.monitor(dest).expect("it lives");
        assert!(caller.down(reference).await.expect("it lives").reason.is_atom("noproc"));
    }
    let mut watcher = process(&router);
    let watched = [Dest::Global(1.into()), Dest::Via(Atom::new("slow"), 1.into())];
    let references = watched.map(|dest| watcher.monitor(dest).expect("it lives"));
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    drop(server);
    for reference in references {
        assert!(watcher.down(reference).await.expect("it lives").reason.is_atom("normal"));
    }
}
