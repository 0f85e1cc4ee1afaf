//! Starting BEAMs and tiebeam nodes for scenarios, talking to them, and stopping exactly what was started.

mod beam;
mod network;
mod program;
mod release;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

pub use beam::Beam;
pub use network::Network;
pub use program::{Finished, Follow, Tiebeam, follow, run, run_with_input};
pub use release::Release;

/// The cookie of all scenarios.
pub const COOKIE: &str = "interop";

/// A port that is free, for an EPMD of this scenario's own. It is below those that the system gives to whoever asks for any:
/// another scenario's listener cannot get it meanwhile. Nor does another process of these tests pick it while this one runs:
/// a name of the system's that ends with the process is bound to say that it is taken.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = 12_000 + u16::try_from(random % 20_000).expect("less than 20,000");
        let name = SocketAddr::from_abstract_name(format!("tiebeam-interop-port-{port}")).expect("a short name");
        let Ok(taken) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
            return port;
        }
    }
}

/// Whether scenarios run that build images or take minutes: where `TIEBEAM_LONG` is set. Says loudly that `scenario` is
/// skipped where it is not.
pub fn is_long_run(scenario: &str) -> bool {
    let long = std::env::var_os("TIEBEAM_LONG").is_some();
    if !long {
        println!("SKIPPED {scenario}: takes minutes; TIEBEAM_LONG=1 runs it");
    }
    long
}

/// A folder that BEAMs see too, under the same path, for what scenarios hand them.
pub fn files() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join("tiebeam-interop");
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    folder
}

/// A node name that no other scenario, of this run or another, has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{}_{n}@127.0.0.1", std::process::id())
}

/// Makes one test of a scenario for each release: `on_every_release!(ping, calls)`.
#[macro_export]
macro_rules! on_every_release {
    ($($scenario:ident),* $(,)?) => {
        $crate::on_every_release!(@ otp25, Otp25, $($scenario),*);
        $crate::on_every_release!(@ otp27, Otp27, $($scenario),*);
        $crate::on_every_release!(@ otp29, Otp29, $($scenario),*);
    };
    (@ $module:ident, $release:ident, $($scenario:ident),*) => {
        mod $module {
            $(#[test]
            fn $scenario() {
                let release = $crate::Release::$release;
                if release.is_here(concat!(module_path!(), "::", stringify!($scenario))) {
                    super::$scenario(release);
                }
            })*
        }
    };
}
