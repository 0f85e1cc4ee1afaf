//! The functions of a registry from a Rust program, one after the other, seen by BEAM members; and what they do, seen here.

use std::time::Duration;

use interop_tests::{Beam, COOKIE, Release, free_port, on_every_release, unique};
use tiebeam::horde::registry::Event;
use tiebeam::horde::{HordeRegistry, RegistryError};
use tiebeam::node::EpmdMode;
use tiebeam::{Atom, Cookie, Node, Pid, Process, Term, epmd, term};
use tokio::time::timeout;

on_every_release!(of_one_rust_and_two_beams, of_two_rust_and_a_beam);

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn of_one_rust_and_two_beams(release: Release) {
    every_function(release, "of_one_rust_and_two_beams", 1, 2);
}

fn of_two_rust_and_a_beam(release: Release) {
    every_function(release, "of_two_rust_and_a_beam", 2, 1);
}

fn every_function(release: Release, scenario: &str, rusts: usize, beams: usize) {
    if !release.has_horde(&format!("{}::{scenario}", module_path!())) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads can be started").block_on(async {
        let all = async {
            let mut horde = Horde::new(release, rusts, beams).await;
            horde.names().await;
            horde.values().await;
            horde.pairs().await;
            horde.members().await;
            for beam in &horde.beams {
                beam.assert_quiet();
            }
        };
        timeout(PATIENCE * 2, all).await.expect("the scenario comes to its end");
    });
}

/// Nodes of this process and BEAMs, all members of one registry.
struct Horde {
    nodes: Vec<Node>,
    registries: Vec<HordeRegistry>,
    beams: Vec<Beam>,
    /// Of the first node.
    me: Process,
}

impl Horde {
    async fn new(release: Release, rusts: usize, beams: usize) -> Self {
        let port = free_port();
        let mut nodes = Vec::new();
        for at in 0..rusts {
            let config = epmd::Config::from_vars(|var| (var == "ERL_EPMD_PORT").then(|| port.to_string()));
            let mode = if at == 0 { EpmdMode::Embedded } else { EpmdMode::Require };
            let builder = Node::builder(unique("lib")).cookie(Cookie::new(COOKIE).expect("a cookie")).epmd(mode);
            nodes.push(builder.epmd_config(config.expect("a port")).start().await.expect("the node starts"));
        }
        let mut started: Vec<Beam> = tokio::task::block_in_place(|| {
            (0..beams).map(|_| Beam::with_horde(release, &unique("horde"), port)).collect()
        });
        let beam_names: Vec<Atom> = started.iter().map(|beam| Atom::new(beam.name())).collect();
        let all: Vec<Atom> = nodes.iter().map(|node| node.name().atom()).chain(beam_names.iter().copied()).collect();
        for node in &nodes {
            for peer in all.iter().filter(|peer| **peer != node.name().atom()) {
                timeout(PATIENCE, node.connect(*peer)).await.expect("in time").expect("it is there");
            }
        }
        let mut registries = Vec::new();
        for node in &nodes {
            let builder = node.horde_registry("Elixir.LabReg").members(all.iter().copied()).listener("listener");
            registries.push(builder.meta("started", true).start().await.expect("a member"));
        }
        let list = all.iter().map(|node| format!("{{LabReg, :{:?}}}", node.as_str())).collect::<Vec<_>>().join(", ");
        tokio::task::block_in_place(|| {
            for beam in &mut started {
                for peer in &all {
                    beam.wait_for(&format!("net_kernel:connect_node('{}').", peer.as_str()), "true");
                }
                let start = format!(
                    "{{:ok, _}} = Horde.Registry.start_link(name: LabReg, keys: :unique, members: [{list}]); :ok"
                );
                assert_eq!(beam.elixir(&start), ":ok");
            }
        });
        let me = nodes[0].process();
        Self { nodes, registries, beams: started, me }
    }

    /// Waits until a call of `Horde.Registry`, shown by an Erlang expression of `X`, gives the same on each BEAM.
    fn beams_see(&mut self, call: &str, shown: &str, expected: &str) {
        tokio::task::block_in_place(|| {
            for beam in &mut self.beams {
                let code = format!("(fun(X) -> {shown} end)('Elixir.Horde.Registry':{call}).");
                beam.wait_for(&code, expected);
            }
        });
    }

    fn on_beam(&mut self, at: usize, code: &str) -> String {
        tokio::task::block_in_place(|| self.beams[at].elixir(code))
    }

    /// Waits until each Rust member sees it so.
    async fn rusts_see<T: PartialEq + std::fmt::Debug>(&self, what: impl Fn(&HordeRegistry) -> T, expected: T) {
        for registry in &self.registries {
            until(|| what(registry) == expected, || format!("{:?}, not {expected:?}", what(registry))).await;
        }
    }

    /// `register`, `lookup`, `whereis`, `keys`, `count`, `select`, `entries`, `via`, `unregister`, and who is told.
    async fn names(&mut self) {
        let registry = self.registries[0].clone();
        let mut events = registry.events();
        let mut listener = self.nodes[0].process();
        listener.register("listener").expect("a free name");
        registry.register("mine", self.me.pid(), 1).await.expect("a free name");
        let taken = registry.register("mine", listener.pid(), 2).await;
        assert_eq!(taken, Err(RegistryError::AlreadyRegistered(self.me.pid())));
        assert_eq!(event(&mut events).await, registered("mine", self.me.pid(), 1.into()));
        let told = timeout(PATIENCE, listener.receive()).await.expect("it is told").expect("it lives");
        let expected = term!({:register, :"Elixir.LabReg", "mine", (Term::from(self.me.pid())), 1});
        assert_eq!(told.term().expect("a term"), expected);
        let home = format!("[{{'{}',1}}]", self.nodes[0].name());
        self.beams_see("lookup('Elixir.LabReg', <<\"mine\">>)", "[{node(P), V} || {P, V} <- X]", &home);
        self.beams_see("count('Elixir.LabReg')", "X", "1");
        // A BEAM's, found here.
        let agent = "{:ok, pid} = Agent.start(fn -> 7 end, name: {:via, Horde.Registry, {LabReg, \"theirs\", :v}}); node(pid) == node()";
        assert_eq!(self.on_beam(0, agent), "true");
        self.rusts_see(HordeRegistry::count, 2).await;
        let theirs = registry.whereis("theirs").expect("a BEAM's process");
        assert_eq!(event(&mut events).await, registered("theirs", theirs, term!(:v)));
        assert_eq!(theirs.node, Atom::new(self.beams[0].name()));
        for registry in &self.registries {
            assert_eq!(registry.lookup::<Atom>("theirs").await, Ok(Some((theirs, Atom::new("v")))));
            assert_eq!(registry.lookup::<Term>("nobodys").await, Ok(None));
            assert_eq!(registry.whereis("mine"), Some(self.me.pid()));
            assert_eq!(registry.keys(theirs), [term!("theirs")]);
            let pairs = registry.entries().into_iter().map(|(key, (_, value))| (key, value)).collect::<Vec<_>>();
            assert_eq!(pairs, [(term!("mine"), term!(1)), (term!("theirs"), term!(:v))]);
            let numbers = registry.select(|key, _, value| value.as_i64().map(|n| (key.clone(), n)));
            assert_eq!(numbers, [(term!("mine"), 1)]);
            let via = registry.via("theirs").expect("a key");
            let get = term!({:get, {:erlang, :max, [3]}});
            let seven = self.me.call(via, &get, Some(PATIENCE)).await.expect("an answer");
            assert_eq!(seven, term!(7));
            // A name that somebody of another member has is refused here too.
            let taken = registry.register("theirs", self.me.pid(), ()).await;
            assert_eq!(taken, Err(RegistryError::AlreadyRegistered(theirs)));
        }
        self.beams_see(
            "keys('Elixir.LabReg', 'Elixir.Horde.Registry':whereis_name({'Elixir.LabReg', <<\"mine\">>}))",
            "X",
            "[<<\"mine\">>]",
        );
        registry.unregister("mine").expect("it is written");
        self.beams_see("lookup('Elixir.LabReg', <<\"mine\">>)", "X", "[]");
        let freed = Event::Unregistered { key: term!("mine"), pid: self.me.pid() };
        assert_eq!(event(&mut events).await, freed);
        assert_eq!(self.on_beam(0, "Horde.Registry.unregister_name({LabReg, \"theirs\"})"), ":ok");
        self.rusts_see(HordeRegistry::count, 0).await;
        assert_eq!(event(&mut events).await, Event::Unregistered { key: term!("theirs"), pid: theirs });
    }

    /// `update_value`, `match`, `count_match`, `dispatch`, `unregister_match`.
    async fn values(&mut self) {
        let registry = self.registries[0].clone();
        let (key, me) = (term!("valued"), self.me.pid());
        registry.register("valued", me, term!({:a, 1})).await.expect("a free name");
        let changed = registry.update_value("valued", me, |_| term!({:a, 2})).expect("it is written");
        assert_eq!(changed, Some((term!({:a, 2}), term!({:a, 1}))));
        // Only the owner may.
        let other = self.nodes[0].process();
        assert_eq!(registry.update_value("valued", other.pid(), |_| term!(3)), Ok(None));
        self.beams_see("match('Elixir.LabReg', <<\"valued\">>, {a, '_'})", "[V || {_, V} <- X]", "[{a,2}]");
        self.beams_see("count_match('Elixir.LabReg', <<\"valued\">>, {a, 1})", "X", "0");
        self.rusts_see(|registry| registry.matching(&key, |_| true), Some((me, term!({:a, 2})))).await;
        for registry in &self.registries {
            assert_eq!(registry.count_match(&key, |value| *value == term!({:a, 2})), 1);
            assert_eq!(registry.count_match(&key, |value| *value == term!({:a, 1})), 0);
            assert_eq!(registry.matching(&key, |value| *value == term!(:other)), None);
            let mut dispatched = Vec::new();
            registry.dispatch(&key, |pid, value| dispatched.push((pid, value.clone())));
            registry.dispatch(&term!("nobodys"), |pid, value| dispatched.push((pid, value.clone())));
            assert_eq!(dispatched, [(me, term!({:a, 2}))]);
        }
        let dispatched = format!(
            "me = self(); Horde.Registry.dispatch(LabReg, \"valued\", fn [{{pid, v}}] -> send(me, {{node(pid), v}}) end); \
             receive do got -> got == {{:{:?}, {{:a, 2}}}} after 5000 -> :none end",
            self.nodes[0].name().to_string()
        );
        assert_eq!(self.on_beam(0, &dispatched), "true");
        // A BEAM's process changes its own, and it is seen here.
        let own = "{:ok, _} = Horde.Registry.register(LabReg, :own, 1); :ok";
        assert_eq!(self.on_beam(0, own), ":ok");
        self.beams_see("count_match('Elixir.LabReg', own, 1)", "X", "1");
        assert_eq!(self.on_beam(0, "Horde.Registry.update_value(LabReg, :own, & &1 + 10)"), "{11, 1}");
        let value = |registry: &HordeRegistry| registry.matching(&term!(:own), |_| true).map(|(_, value)| value);
        self.rusts_see(value, Some(term!(11))).await;
        assert_eq!(self.on_beam(0, "Horde.Registry.unregister_match(LabReg, :own, 11)"), ":ok");
        self.rusts_see(value, None).await;
        assert_eq!(registry.unregister_match(me, |_, value| *value == term!(:other)), Ok(0));
        assert_eq!(registry.unregister_match(me, |_, value| *value == term!({:a, 2})), Ok(1));
        self.beams_see("count('Elixir.LabReg')", "X", "0");
    }

    /// `put_meta`, `meta`, `delete_meta`, and the pairs that a member begins with.
    async fn pairs(&mut self) {
        let registry = self.registries[0].clone();
        registry.put_meta("colour", Atom::new("blue")).expect("it is written");
        self.beams_see("meta('Elixir.LabReg', <<\"colour\">>)", "X", "{ok,blue}");
        self.beams_see("meta('Elixir.LabReg', <<\"started\">>)", "X", "{ok,true}");
        assert_eq!(self.on_beam(0, "Horde.Registry.put_meta(LabReg, :size, 3)"), ":ok");
        self.rusts_see(|registry| registry.meta::<i64>(Atom::new("size")), Ok(Some(3))).await;
        registry.delete_meta("colour").expect("it is written");
        self.beams_see("meta('Elixir.LabReg', <<\"colour\">>)", "X", "error");
        assert_eq!(self.on_beam(0, "Horde.Registry.delete_meta(LabReg, :size)"), ":ok");
        self.rusts_see(|registry| registry.meta::<i64>(Atom::new("size")), Ok(None)).await;
    }

    /// `members`, `set_members`: one more, and as before.
    async fn members(&mut self) {
        let all: Vec<Atom> = self.registries[0].members().into_iter().map(|member| member.node).collect();
        assert_eq!(all.len(), self.nodes.len() + self.beams.len());
        let nobody = Atom::new(&unique("nobody"));
        let members = |n: usize| format!("length(gen_server:call('Elixir.LabReg', members)) =:= {n}.");
        for n in [all.len() + 1, all.len()] {
            let more = (n > all.len()).then_some(nobody);
            self.registries[0].set_members(all.iter().copied().chain(more));
            tokio::task::block_in_place(|| {
                for beam in &mut self.beams {
                    beam.wait_for(&members(n), "true");
                }
            });
            self.rusts_see(|registry| registry.members().len(), n).await;
        }
    }
}

fn registered(key: &str, pid: Pid, value: Term) -> Event {
    Event::Registered { key: key.into(), pid, value }
}

async fn event(events: &mut tiebeam::horde::registry::Events) -> Event {
    timeout(PATIENCE, events.next()).await.expect("an event comes").expect("the member lives")
}

async fn until(is_so: impl Fn() -> bool, what: impl Fn() -> String) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "waited in vain: {}", what());
}
