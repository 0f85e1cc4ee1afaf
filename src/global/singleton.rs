//! One process in the whole cluster: started by whoever wins its name, again elsewhere when its node goes.

use tokio::sync::watch;

use super::{Global, GlobalName};
use crate::process::Process;
use crate::term::Term;

/// A part in running a singleton; dropping it is giving up that part, and ends the process if it runs here.
#[derive(Debug)]
#[must_use = "dropping it gives up"]
pub struct Singleton {
    _gone_with_it: watch::Sender<()>,
}

impl Global {
    /// Has one process of the cluster run `body`: on this node if it wins the name, else as soon as the process that has
    /// it ends. Nodes that call this with the same name are each other's stand-ins.
    pub fn singleton<F, Fut>(&self, name: impl Into<GlobalName>, body: F) -> Singleton
    where
        F: Fn(Process) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (keep, mut given_up) = watch::channel(());
        let (global, name) = (self.clone(), name.into().0);
        let mut stopping = self.node().stopping();
        self.node().spawn_task(async move {
            tokio::select! {
                () = run(&global, name, body) => {}
                _ = given_up.changed() => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
        Singleton { _gone_with_it: keep }
    }
}

async fn run<F, Fut>(global: &Global, name: Term, body: F)
where
    F: Fn(Process) -> Fut,
    Fut: Future<Output = ()>,
{
    loop {
        let process = global.node().process();
        let won = global.register(name.clone(), process.pid()).await.is_ok();
        if won {
            let ended = process.share();
            tokio::select! {
                () = body(process) => {}
                // Lost the name to another part of the cluster, perhaps.
                _ = ended.exited() => {}
            }
        } else if let Some(holder) = global.whereis(name.clone()) {
            let mut watcher = global.node().process();
            let Ok(reference) = watcher.monitor(holder) else { return };
            if watcher.down(reference).await.is_err() {
                return;
            }
        }
        // Until every node has seen the end of the last one.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
