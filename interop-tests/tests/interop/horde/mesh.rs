//! A Horde of any members, BEAMs of any releases and Rust nodes, over a network that can be cut.

use std::time::{Duration, Instant};

use interop_tests::{Beam, Network, Release, Tiebeam, unique};

/// A member: a registry `LabReg` and a supervisor `LabSup`.
pub(super) enum Member {
    Beam(Beam),
    Rust(Tiebeam),
}

impl Member {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Beam(beam) => beam.name(),
            Self::Rust(rust) => rust.name(),
        }
    }

    pub(super) fn atom(&self) -> String {
        format!("'{}'", self.name())
    }

    pub(super) fn is_rust(&self) -> bool {
        matches!(self, Self::Rust(_))
    }

    pub(super) fn signal(&self, signal: &str) {
        match self {
            Self::Beam(beam) => beam.signal(signal),
            Self::Rust(rust) => rust.signal(signal),
        }
    }

    pub(super) fn beam(&mut self) -> &mut Beam {
        match self {
            Self::Beam(beam) => beam,
            Self::Rust(rust) => panic!("{} is no BEAM", rust.name()),
        }
    }
}

/// What members are made of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Beam(Release),
    Rust,
}

/// How a Horde is set up.
pub(super) struct Setup<'a> {
    pub(super) kinds: &'a [Kind],
    /// Of all nodes, in seconds.
    pub(super) ticktime: &'a str,
    /// Members come and go with their nodes.
    pub(super) auto: bool,
    /// Further arguments of Rust nodes.
    pub(super) flags: &'a [&'a str],
    /// Rust nodes have a replica `LabKept` with each other.
    pub(super) kept: bool,
    /// Further options of a BEAM's supervisor, in Elixir.
    pub(super) options: &'a str,
    /// What BEAM members load before they start, in Elixir.
    pub(super) prelude: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { kinds: &[], ticktime: "60", auto: false, flags: &[], kept: false, options: "", prelude: ":ok" }
    }
}

/// The Horde, and a hidden BEAM beside it that sees all members whatever is cut.
pub(super) struct Mesh {
    pub(super) network: Network,
    pub(super) members: Vec<Member>,
    pub(super) driver: Beam,
    names: Vec<String>,
    kinds: Vec<Kind>,
    ticktime: String,
    auto: bool,
    flags: Vec<String>,
    kept: bool,
    options: String,
    prelude: String,
}

/// Longer than anything of a healthy Horde takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

impl Mesh {
    /// `None`, and said so, where one of its releases or its Horde is not given.
    pub(super) fn new(scenario: &str, setup: &Setup<'_>) -> Option<Self> {
        let releases: Vec<_> = setup
            .kinds
            .iter()
            .filter_map(|kind| if let Kind::Beam(release) = kind { Some(*release) } else { None })
            .collect();
        if !releases.iter().all(|release| release.is_here(scenario) && release.has_horde(scenario)) {
            return None;
        }
        let network = Network::default();
        let names: Vec<_> = setup
            .kinds
            .iter()
            .map(|kind| match kind {
                Kind::Beam(release) => unique(&format!("otp{}", release.number())),
                Kind::Rust => unique("rust"),
            })
            .collect();
        let observer = network.epmd_of_observers();
        let release = releases.first().copied().expect("a BEAM is among the members");
        let mut driver = Beam::start_with(
            release,
            &unique("driver"),
            observer,
            &["-start_epmd", "false", "-hidden", "-kernel", "net_ticktime", setup.ticktime],
        );
        driver.elixir(":ok");
        let mut mesh = Self {
            network,
            members: Vec::new(),
            driver,
            names,
            kinds: setup.kinds.to_vec(),
            ticktime: setup.ticktime.into(),
            auto: setup.auto,
            flags: setup.flags.iter().map(|flag| (*flag).to_owned()).collect(),
            kept: setup.kept,
            options: setup.options.into(),
            prelude: setup.prelude.into(),
        };
        for at in 0..mesh.kinds.len() {
            let member = mesh.node(at);
            mesh.members.push(member);
            mesh.connect(at);
        }
        for at in 0..mesh.kinds.len() {
            mesh.join(at);
        }
        mesh.until_whole();
        Some(mesh)
    }

    /// The node of a member, without its Horde where it is a BEAM.
    fn node(&self, at: usize) -> Member {
        let name = &self.names[at];
        let port = self.network.epmd_of(name);
        match self.kinds[at] {
            Kind::Beam(release) => {
                let args = ["-kernel", "net_ticktime", &self.ticktime];
                Member::Beam(Beam::with_horde_and(release, name, port, &args))
            }
            Kind::Rust => {
                let members = if self.auto { "auto".to_owned() } else { self.names.join(",") };
                let mut args = vec!["--demo", "--horde-registry", "LabReg", "--horde-supervisor", "LabSup"];
                args.extend(["--horde-members", &members, "--net-ticktime", &self.ticktime]);
                for peer in self.names.iter().filter(|peer| self.auto && *peer != name) {
                    args.extend(["--connect", peer]);
                }
                let rusts = self.names.iter().zip(&self.kinds).filter(|(_, kind)| **kind == Kind::Rust);
                let kept: Vec<_> = rusts
                    .filter(|(peer, _)| *peer != name)
                    .map(|(peer, _)| format!("--crdt-neighbour=LabKept@{peer}"))
                    .collect();
                if self.kept {
                    args.extend(["--crdt", "LabKept"]);
                    args.extend(kept.iter().map(String::as_str));
                }
                args.extend(self.flags.iter().map(String::as_str));
                Member::Rust(Tiebeam::start(name, port, &args))
            }
        }
    }

    /// Connects a member with all before it.
    fn connect(&mut self, at: usize) {
        let peers: Vec<_> = self.members.iter().map(Member::atom).collect();
        if let Member::Beam(beam) = &mut self.members[at] {
            let here = beam.atom();
            for peer in peers.iter().filter(|peer| **peer != here) {
                beam.wait_for(&format!("net_kernel:connect_node({peer})."), "true");
            }
        }
    }

    fn join(&mut self, at: usize) {
        let list: Vec<_> = self.names.iter().map(|name| format!("{{NAME, :{name:?}}}")).collect();
        let list = if self.auto { ":auto".to_owned() } else { format!("[{}]", list.join(", ")) };
        let (prelude, options) = (self.prelude.clone(), self.options.clone());
        if let Member::Beam(beam) = &mut self.members[at] {
            beam.elixir(&prelude);
            let start = format!(
                "{{:ok, _}} = Horde.Registry.start_link(name: LabReg, keys: :unique, members: {}); \
                 {{:ok, _}} = Horde.DynamicSupervisor.start_link(name: LabSup, strategy: :one_for_one, \
                 members: {}{options}, max_restarts: 1000); :ok",
                list.replace("NAME", "LabReg"),
                list.replace("NAME", "LabSup"),
            );
            assert_eq!(beam.elixir(&start), ":ok");
        }
    }

    /// Starts a member again that was killed, with its name.
    pub(super) fn restart(&mut self, at: usize) {
        self.members[at] = self.node(at);
        self.connect(at);
        self.join(at);
    }

    /// Ends a member politely; it is none of the mesh's members any more.
    pub(super) fn end(&mut self, at: usize) {
        let mut member = self.members.remove(at);
        self.names.remove(at);
        self.kinds.remove(at);
        match &mut member {
            Member::Rust(rust) => {
                rust.signal("TERM");
                assert_eq!(rust.exit_code(), Some(0));
            }
            Member::Beam(beam) => {
                let node = beam.atom();
                assert_eq!(self.driver.eval(&format!("erpc:call({node}, init, stop, []).")), "ok");
                self.until("its end", &format!("lists:member({node}, nodes(connected))."), "false");
            }
        }
    }

    /// Cuts a member off from all others.
    pub(super) fn isolate(&self, at: usize) {
        for (other, name) in self.names.iter().enumerate() {
            if other != at {
                self.network.cut(&self.names[at], name);
            }
        }
    }

    /// `[{Node, beam | rust}]` of all members.
    pub(super) fn list(&self) -> String {
        let member =
            |member: &Member| format!("{{{},{}}}", member.atom(), if member.is_rust() { "rust" } else { "beam" });
        format!("[{}]", self.members.iter().map(member).collect::<Vec<_>>().join(","))
    }

    /// Waits until the driver's answer to this is `expected`.
    pub(super) fn until(&mut self, what: &str, code: &str, expected: &str) {
        let last = Instant::now() + PATIENCE;
        loop {
            let got = self.driver.eval(code);
            if got == expected {
                return;
            }
            assert!(Instant::now() < last, "waited in vain for {what}: {got}, not {expected}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until every member has the same members, all of them, and knows that all are alive.
    pub(super) fn until_whole(&mut self) {
        let (list, all) = (self.list(), self.members.len());
        for name in ["LabReg", "LabSup"] {
            let members = format!(
                "lists:usort([try length(gen_server:call({{'Elixir.{name}', N}}, members)) catch _:_ -> none end || {{N, _}} <- {list}])."
            );
            self.until("all members", &members, &format!("[{all}]"));
        }
        let alive = format!(
            "[length([1 || {{_, #{{status := alive}}}} <- maps:to_list(maps:get(members_info, erpc:call(N, sys, get_state, ['Elixir.LabSup'])))]) || {{N, beam}} <- {list}]"
        );
        let expected: Vec<_> =
            self.members.iter().filter(|member| !member.is_rust()).map(|_| all.to_string()).collect();
        self.until("all alive", &format!("{alive}."), &format!("[{}]", expected.join(",")));
    }

    /// As [`Mesh::until_equal`]; false where it does not become so, or no member answers.
    pub(super) fn becomes_equal(&mut self) -> bool {
        let (list, last) = (self.list(), Instant::now() + PATIENCE);
        while Instant::now() < last {
            if self.driver.eval(&format!("horde_load:agree({list}).")) == "true" {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// Waits until all members have the same registry and know the same children.
    pub(super) fn until_equal(&mut self) {
        let list = self.list();
        self.until("equal members", &format!("horde_load:agree({list})."), "true");
    }

    /// What all members logged, for a failure.
    fn logs(&self) -> String {
        let log = |member: &Member| match member {
            Member::Beam(beam) => format!("{}:\n{}", beam.name(), beam.log()),
            Member::Rust(_) => String::new(),
        };
        self.members.iter().map(log).collect()
    }

    /// Nothing but that nodes were lost, as a cluster of BEAMs alone says it.
    pub(super) fn assert_quiet_but_for_the_loss(&self) {
        let complaints = ["=ERROR", "=WARNING", "=CRASH", "=SUPERVISOR", "[error]", "[warning]", "[critical]"];
        let expected = ["overlapping partitions", "not responding"];
        for member in &self.members {
            let Member::Beam(beam) = member else { continue };
            let log = beam.log();
            let lines = log.lines().filter(|line| complaints.iter().any(|complaint| line.contains(complaint)));
            let others: Vec<_> = lines.filter(|line| !expected.iter().any(|text| line.contains(text))).collect();
            assert!(others.is_empty(), "{} complained: {others:#?}\n{log}", beam.name());
        }
    }

    pub(super) fn assert_quiet(&self) {
        for member in &self.members {
            if let Member::Beam(beam) = member {
                beam.assert_quiet();
            }
        }
    }
}

/// What a run left behind; see `horde_load:report/1`.
#[derive(Debug)]
pub(super) struct Figures(pub(super) String);

impl Figures {
    pub(super) fn of(mesh: &mut Mesh) -> Self {
        let list = mesh.list();
        let report = mesh.driver.eval(&format!("horde_load:report({list})."));
        Self(report.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    pub(super) fn get(&self, name: &str) -> u64 {
        let at = self.0.find(&format!("{name} => ")).unwrap_or_else(|| panic!("no {name} in {}", self.0));
        let number = self.0[at + name.len() + 4..].split(|c: char| !c.is_ascii_digit()).next();
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }
}
