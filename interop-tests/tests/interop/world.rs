//! A tiebeam node with the demo services and a BEAM, registered with the node's embedded EPMD.

use interop_tests::{Beam, Release, Tiebeam, free_port, unique};

/// Two nodes that can find each other.
pub(crate) struct World {
    pub(crate) port: u16,
    pub(crate) rust: Tiebeam,
    pub(crate) beam: Beam,
}

impl World {
    pub(crate) fn new(release: Release) -> Self {
        Self::with(release, &["--demo"], &[])
    }

    /// With other arguments for `tiebeam node` and for `erl`.
    pub(crate) fn with(release: Release, rust: &[&str], erl: &[&str]) -> Self {
        let port = free_port();
        let rust = Tiebeam::start(&unique("rust"), port, rust);
        let beam = Beam::start_with(release, &unique("beam"), port, &[&["-start_epmd", "false"], erl].concat());
        Self { port, rust, beam }
    }

    /// Evaluates on the BEAM, with `N` for the tiebeam node and `D` for its demo module.
    pub(crate) fn eval(&mut self, code: &str) -> String {
        let code = bound(code, &self.rust.atom());
        self.beam.eval(&code)
    }

    /// As `eval`, until it gives what is expected.
    pub(crate) fn wait_for(&mut self, code: &str, expected: &str) {
        let code = bound(code, &self.rust.atom());
        self.beam.wait_for(&code, expected);
    }

    /// What it gives once it has given the same for a second: what two nodes tell each other when they meet is over.
    pub(crate) fn settled(&mut self, code: &str) -> String {
        let mut last = self.eval(code);
        let mut same = 0;
        while same < 10 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let now = self.eval(code);
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        last
    }

    /// Starts a second BEAM of the same release that has the demo services, as a BEAM has them.
    pub(crate) fn twin(&self, release: Release) -> Beam {
        self.twin_with(release, &[])
    }

    /// With other arguments for `erl`.
    pub(crate) fn twin_with(&self, release: Release, erl: &[&str]) -> Beam {
        let mut twin =
            Beam::start_with(release, &unique("twin"), self.port, &[&["-start_epmd", "false"], erl].concat());
        assert_eq!(twin.eval("'Elixir.Tiebeam.Demo':serve()."), "ok");
        twin
    }

    /// Evaluates the same on the BEAM against the tiebeam node and against the twin: both must give the same.
    pub(crate) fn same_as_twin(&mut self, twin: &Beam, code: &str) {
        let against_rust = self.beam.eval(&bound(code, &self.rust.atom()));
        let against_beam = self.beam.eval(&bound(code, &twin.atom()));
        let rust = against_rust.replace(self.rust.name(), "NODE");
        let beam = against_beam.replace(twin.name(), "NODE");
        assert_eq!(rust, beam, "tiebeam (left) and a BEAM (right) differ in {code}");
    }
}

fn bound(code: &str, node: &str) -> String {
    format!("N = {node}, D = 'Elixir.Tiebeam.Demo', _ = {{N, D}}, {code}")
}
