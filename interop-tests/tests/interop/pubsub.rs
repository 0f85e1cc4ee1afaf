//! Rust nodes, in this process, beside real Phoenix.PubSub: what one side broadcasts, the other hears.

use std::time::{Duration, Instant};

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, unique};
use tiebeam::node::EpmdMode;
use tiebeam::pubsub::{Broadcast, PubSub, Subscription};
use tiebeam::{Cookie, Node, Process, Term, epmd, term};
use tokio::runtime::Runtime;

on_every_release!(
    broadcasts_are_heard_on_both_sides,
    pools_of_four_and_of_different_sizes,
    a_pubsub_whose_first_group_is_numbered,
    nodes_leave_and_come_back,
);

/// How long something may take on a busy machine.
const AT_MOST: Duration = Duration::from_secs(60);

/// Two BEAMs with Phoenix.PubSub, and Rust nodes, all connected; the pubsubs are started by the scenario.
struct World {
    runtime: Runtime,
    port: u16,
    nodes: Vec<Node>,
    beams: [Beam; 2],
    /// Serves the EPMD.
    _epmd: Tiebeam,
}

impl World {
    /// `None`, and said so, where real Phoenix.PubSub is not given.
    fn new(release: Release, scenario: &str, nodes: usize) -> Option<Self> {
        if !release.has_horde(&format!("{}::{scenario}", module_path!())) {
            return None;
        }
        let port = free_port();
        let epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden"]);
        let mut beams = [(); 2].map(|()| Beam::with_horde(release, &unique("phoenix"), port));
        let runtime = Runtime::new().expect("a runtime");
        for beam in &mut beams {
            let started = beam.elixir("{:ok, _} = Application.ensure_all_started(:phoenix_pubsub); :ok");
            assert_eq!(started, ":ok");
            // Keeps what it gets, and subscribes and broadcasts for whoever asks.
            assert_eq!(beam.elixir(LISTENER), ":ok");
        }
        let [first, second] = &mut beams;
        assert_eq!(first.eval(&format!("net_kernel:connect_node({}).", second.atom())), "true");
        let mut world = Self { runtime, port, nodes: Vec::new(), beams, _epmd: epmd };
        for _ in 0..nodes {
            world.add_node(&unique("rust"));
        }
        Some(world)
    }

    fn add_node(&mut self, name: &str) {
        let epmd = epmd::Config { port: self.port, ..epmd::Config::default() };
        let builder = Node::builder(name).cookie(Cookie::new(interop_tests::COOKIE).expect("a cookie"));
        let builder = builder.epmd(EpmdMode::Require).epmd_config(epmd);
        let node = self.runtime.block_on(builder.start()).expect("the node starts");
        let others = self.beams.iter().map(Beam::name).map(str::to_owned);
        for other in others.chain(self.nodes.iter().map(|node| node.name().to_string())) {
            self.runtime.block_on(node.connect(other.as_str())).expect("a node that listens");
        }
        self.nodes.push(node);
    }

    /// Starts the pubsub on both BEAMs with these options, each with a process that listens on `t`.
    fn start_phoenix(&mut self, options: [&str; 2]) {
        for (beam, options) in self.beams.iter_mut().zip(options) {
            let start = format!(
                "{{:ok, _}} = Supervisor.start_link([{{Phoenix.PubSub, [name: Lab.PubSub{options}]}}], \
                 strategy: :one_for_one); Lab.Listener.start(); :ok"
            );
            assert_eq!(beam.elixir(&start), ":ok");
        }
    }

    /// Waits until all nodes know so many members of a group.
    fn members(&mut self, group: &str, expected: usize) {
        let group = format!("Elixir.Lab.PubSub.{group}");
        for beam in &mut self.beams {
            beam.wait_for(
                &format!("length(pg:get_members('Elixir.Phoenix.PubSub', '{group}'))."),
                &expected.to_string(),
            );
        }
        for node in &self.nodes {
            let members = || node.pg("Elixir.Phoenix.PubSub").members(tiebeam::Atom::new(&group)).len();
            let last = Instant::now() + AT_MOST;
            while members() != expected {
                assert!(Instant::now() < last, "{} members of {group}, not {expected}", members());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Connects all nodes until all of them know a member on each. What has lost one node may leave others yet, so that
    /// parts of the cluster do not overlap.
    fn meet_again(&mut self) {
        let last = Instant::now() + AT_MOST;
        let names = self.beams.each_ref().map(|beam| beam.name().to_owned());
        let count = "length(pg:get_members('Elixir.Phoenix.PubSub', 'Elixir.Lab.PubSub.Adapter'))";
        loop {
            for name in &names {
                // Whether it worked is seen by the members.
                let _not_yet = self.runtime.block_on(self.nodes[0].connect(name.as_str()));
            }
            let meet = format!("net_kernel:connect_node('{}'), {count}.", names[1]);
            let counts = [self.beams[0].eval(&meet), self.beams[1].eval(&format!("{count}."))];
            let group = tiebeam::Atom::new("Elixir.Lab.PubSub.Adapter");
            if counts.iter().all(|n| n == "3") && self.nodes[0].pg("Elixir.Phoenix.PubSub").members(group).len() == 3 {
                return;
            }
            assert!(Instant::now() < last, "they do not meet: {counts:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the listener of a BEAM has got this and nothing else, as Elixir prints it; it forgets it then.
    fn heard(&mut self, beam: usize, expected: &str) {
        let last = Instant::now() + AT_MOST;
        loop {
            let heard = self.beams[beam].elixir("Lab.Listener.heard()");
            if heard == expected {
                assert_eq!(self.beams[beam].elixir("Lab.Listener.forget()"), expected);
                return;
            }
            assert!(Instant::now() < last, "{beam} heard {heard}, not {expected}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn next(&self, stream: &mut Subscription) -> Term {
        let next = async { tokio::time::timeout(AT_MOST, stream.next()).await };
        let message = self.runtime.block_on(next).expect("a message comes in time");
        message.expect("the pubsub runs").expect("nothing is lost").term().expect("a term")
    }

    fn mail(&self, process: &mut Process) -> Term {
        let next = async { tokio::time::timeout(AT_MOST, process.receive()).await };
        let mail = self.runtime.block_on(next).expect("mail comes in time");
        mail.expect("the process lives").term().expect("a term")
    }

    /// Waits until the listener of a BEAM has got a hundred messages, of all numbers.
    fn wait_for_hundred(&mut self, beam: usize) {
        let (mut ns, last) = (Vec::new(), Instant::now() + AT_MOST);
        while ns.len() < 100 {
            let heard = self.beams[beam].elixir("Enum.map(Lab.Listener.forget(), &elem(&1, 0))");
            let heard = heard.trim_matches(['[', ']']).split(", ").filter_map(|n| n.parse::<i64>().ok());
            ns.extend(heard);
            assert!(Instant::now() < last, "{beam} heard {ns:?}");
        }
        ns.sort_unstable();
        assert_eq!(ns, (1..=100).collect::<Vec<_>>());
    }

    fn quiet(&self) {
        self.beams.iter().for_each(Beam::assert_quiet);
    }
}

/// `Lab.Listener` subscribes to `t` and keeps what it gets, in order; `Lab.Fast` is a dispatcher that says that it was one.
const LISTENER: &str = r#"
defmodule Lab.Listener do
  use GenServer
  def start, do: {:ok, _} = GenServer.start(__MODULE__, [], name: __MODULE__)
  def heard, do: GenServer.call(__MODULE__, :heard)
  def forget, do: GenServer.call(__MODULE__, :forget)
  def run(fun), do: GenServer.call(__MODULE__, {:run, fun})
  def init(_) do
    :ok = Phoenix.PubSub.subscribe(Lab.PubSub, "t")
    {:ok, []}
  end
  def handle_call(:heard, _, heard), do: {:reply, Enum.reverse(heard), heard}
  def handle_call(:forget, _, heard), do: {:reply, Enum.reverse(heard), []}
  def handle_call({:run, fun}, _, heard), do: {:reply, fun.(), heard}
  def handle_info(message, heard), do: {:noreply, [message | heard]}
end
defmodule Phoenix.Socket.Broadcast do
  defstruct topic: nil, event: nil, payload: nil
end
# Stands in for that of Phoenix, which these BEAMs have not.
defmodule Phoenix.Channel.Server do
  def dispatch(entries, from, %{__struct__: Phoenix.Socket.Broadcast} = message) do
    for {pid, _} <- entries, pid != from, do: send(pid, {:channel, message})
    :ok
  end
end
defmodule Lab.Fast do
  def dispatch(entries, from, message) do
    for {pid, metadata} <- entries, pid != from, do: send(pid, {:fast, metadata, message})
    :ok
  end
end
:ok
"#;

fn pubsub(node: &Node, pool_size: usize, broadcast_pool_size: usize) -> PubSub {
    let builder = node.pubsub("Lab.PubSub").pool_size(pool_size).broadcast_pool_size(broadcast_pool_size);
    builder.start().expect("the names are free")
}

fn broadcasts_are_heard_on_both_sides(release: Release) {
    let Some(mut world) = World::new(release, "broadcasts_are_heard_on_both_sides", 2) else { return };
    world.start_phoenix([", pool_size: 1", ""]);
    let rust: Vec<PubSub> = {
        let _in_the_runtime = world.runtime.enter();
        world.nodes.iter().map(|node| pubsub(node, 1, 1)).collect()
    };
    world.members("Adapter", 4);
    let mut streams: Vec<Subscription> = rust.iter().map(|pubsub| pubsub.subscribe("t").unwrap()).collect();
    let mut process = world.nodes[0].process();
    rust[0].subscribe_process("t", process.pid()).unwrap();
    // From a BEAM: to everybody, to all but the sender, to one node, to its own node only.
    let second_rust = world.nodes[1].name();
    let say = format!(
        "alias Phoenix.PubSub, as: P; P.broadcast(Lab.PubSub, \"nobody\", 0); \
         Lab.Listener.run(fn -> [P.broadcast(Lab.PubSub, \"t\", {{:all, %{{a: [1, 2.5]}}, \"é\"}}), \
         P.broadcast_from(Lab.PubSub, self(), \"t\", :others), P.local_broadcast(Lab.PubSub, \"t\", :local), \
         P.direct_broadcast(:\"{second_rust}\", Lab.PubSub, \"t\", :direct), \
         P.broadcast(Lab.PubSub, \"t\", {{:dispatched, 1}}, Lab.Fast), P.broadcast(Lab.PubSub, \"t\", :last), \
         P.node_name(Lab.PubSub) == node()] end)"
    );
    assert_eq!(world.beams[0].elixir(&say), "[:ok, :ok, :ok, :ok, :ok, :ok, true]");
    let all = term!({:all, %{a: [1, 2.5]}, "é"});
    let first = [all.clone(), term!(:others), term!({:dispatched, 1}), term!(:last)];
    for expected in &first {
        assert_eq!(&world.next(&mut streams[0]), expected);
        assert_eq!(&world.mail(&mut process), expected);
    }
    for expected in [all, term!(:others), term!(:direct), term!({:dispatched, 1}), term!(:last)] {
        assert_eq!(world.next(&mut streams[1]), expected);
    }
    let all = "{:all, %{a: [1, 2.5]}, \"é\"}";
    world.heard(0, &format!("[{all}, :local, {{:fast, nil, {{:dispatched, 1}}}}, :last]"));
    world.heard(1, &format!("[{all}, :others, {{:fast, nil, {{:dispatched, 1}}}}, :last]"));
    // From Rust: the same.
    let to = world.beams[1].name().to_owned();
    world
        .runtime
        .block_on(async {
            let me = &rust[0].used_by(&process);
            me.broadcast("nobody", 0).await?;
            me.broadcast("t", term!({:all, %{a: [1, 2.5]}, "é"})).await?;
            me.broadcast_from(&process, "t", term!(:others)).await?;
            me.local_broadcast("t", term!(:local))?;
            me.direct_broadcast(to.as_str(), "t", term!(:direct)).await?;
            me.with_dispatcher("Elixir.Lab.Fast").broadcast_from(&process, "t", 1).await?;
            me.channel_broadcast("t", "event", term!(%{n: 1})).await
        })
        .unwrap();
    let event = "%Phoenix.Socket.Broadcast{topic: \"t\", event: \"event\", payload: %{n: 1}}";
    world.heard(0, &format!("[{all}, :others, {{:fast, nil, 1}}, {{:channel, {event}}}]"));
    world.heard(1, &format!("[{all}, :others, :direct, {{:fast, nil, 1}}, {{:channel, {event}}}]"));
    let all = term!({:all, %{a: [1, 2.5]}, "é"});
    for expected in [all.clone(), term!(:local)] {
        assert_eq!(world.mail(&mut process), expected);
    }
    for expected in [all, term!(:others), Term::from(1)] {
        assert_eq!(world.next(&mut streams[1]), expected);
    }
    let event: Broadcast<Term> = tiebeam::serde::from_term(&world.next(&mut streams[1])).expect("an event");
    assert_eq!((event.event.as_str(), event.payload), ("event", term!(%{n: 1})));
    world.quiet();
}

fn pools_of_four_and_of_different_sizes(release: Release) {
    let Some(mut world) = World::new(release, "pools_of_four_and_of_different_sizes", 2) else { return };
    // The cluster grows from one group to four: the first BEAM and the first Rust node still send to one.
    world.start_phoenix([", pool_size: 4, broadcast_pool_size: 1", ", pool_size: 4"]);
    let rust = {
        let _in_the_runtime = world.runtime.enter();
        [pubsub(&world.nodes[0], 4, 1), pubsub(&world.nodes[1], 4, 4)]
    };
    for group in ["Adapter", "Adapter_2", "Adapter_3", "Adapter_4"] {
        world.members(group, 4);
    }
    let mut streams = rust.each_ref().map(|pubsub| pubsub.subscribe("t").unwrap());
    // As many senders as it takes for each group to be chosen by some.
    for beam in 0..2 {
        let say = "Enum.each(1..100, fn n -> Task.await(Task.async(fn -> \
                   Phoenix.PubSub.broadcast(Lab.PubSub, \"t\", {n, :erlang.phash2(self(), 4)}) end)) end)";
        assert_eq!(world.beams[beam].elixir(say), ":ok");
        for stream in &mut streams {
            let (ns, groups) = hundred(|| world.next(stream));
            assert_eq!((ns, groups), ((1..=100).collect(), vec![0, 1, 2, 3]));
        }
        for beam in 0..2 {
            world.wait_for_hundred(beam);
        }
    }
    for (node, pubsub) in [0, 1].map(|n| (world.nodes[n].clone(), &rust[n])) {
        let senders: Vec<Process> = (0..100).map(|_| node.process()).collect();
        let chosen: Vec<u32> = senders
            .iter()
            .map(|sender| tiebeam::phash2::phash2_range(&sender.pid().into(), 4).expect("a range"))
            .collect();
        world.runtime.block_on(async {
            for (n, (sender, group)) in senders.iter().zip(&chosen).enumerate() {
                let message = term!({ i64::try_from(n + 1).unwrap_or_default(), *group });
                pubsub.used_by(sender).broadcast("t", message).await.expect("it runs");
            }
        });
        for stream in &mut streams {
            let (ns, groups) = hundred(|| world.next(stream));
            assert_eq!((ns, groups), ((1..=100).collect(), vec![0, 1, 2, 3]));
        }
        for beam in 0..2 {
            world.wait_for_hundred(beam);
        }
    }
    world.quiet();
}

/// A hundred messages `{N, Group}`: all numbers in order, and the groups that there are.
fn hundred(mut next: impl FnMut() -> Term) -> (Vec<i64>, Vec<i64>) {
    let (mut ns, mut groups) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let message = next();
        let Some([n, group]) = message.as_tuple() else { panic!("{message}") };
        ns.push(n.as_i64().expect("a number"));
        groups.push(group.as_i64().expect("a number"));
    }
    ns.sort_unstable();
    groups.sort_unstable();
    groups.dedup();
    (ns, groups)
}

fn a_pubsub_whose_first_group_is_numbered(release: Release) {
    let Some(mut world) = World::new(release, "a_pubsub_whose_first_group_is_numbered", 1) else { return };
    // The worker that Phoenix.PubSub 2.1.0 has: real, under the name that this version gave it.
    for beam in &mut world.beams {
        let start = "{:ok, _} = Supervisor.start_link([{Registry, keys: :duplicate, name: Lab.PubSub, \
                     meta: [pubsub: {Phoenix.PubSub.PG2, Lab.PubSub.Adapter}]}, {Phoenix.PubSub.PG2Worker, \
                     {Lab.PubSub, Lab.PubSub.Adapter_1}}], strategy: :one_for_one); \
                     :persistent_term.put(Lab.PubSub.Adapter, {Lab.PubSub.Adapter_1}); Lab.Listener.start(); :ok";
        assert_eq!(beam.elixir(start), ":ok");
    }
    let rust = {
        let _in_the_runtime = world.runtime.enter();
        world.nodes[0].pubsub("Lab.PubSub").first_group_numbered().start().unwrap()
    };
    world.members("Adapter_1", 3);
    let mut stream = rust.subscribe("t").unwrap();
    assert_eq!(world.beams[0].elixir("Phoenix.PubSub.broadcast(Lab.PubSub, \"t\", :hello)"), ":ok");
    assert_eq!(world.next(&mut stream), term!(:hello));
    world.heard(0, "[:hello]");
    world.heard(1, "[:hello]");
    world.runtime.block_on(rust.broadcast("t", 1)).unwrap();
    world.heard(0, "[1]");
    world.heard(1, "[1]");
    world.quiet();
}

fn nodes_leave_and_come_back(release: Release) {
    let Some(mut world) = World::new(release, "nodes_leave_and_come_back", 1) else { return };
    world.start_phoenix(["", ""]);
    let rust = {
        let _in_the_runtime = world.runtime.enter();
        pubsub(&world.nodes[0], 1, 1)
    };
    world.members("Adapter", 3);
    // A link that breaks, and heals.
    let mut stream = rust.subscribe("t").unwrap();
    for round in 0..3 {
        let rust_atom = format!("'{}'", world.nodes[0].name());
        assert_eq!(world.beams[0].eval(&format!("erlang:disconnect_node({rust_atom}).")), "true");
        world.meet_again();
        let say = format!("Phoenix.PubSub.broadcast(Lab.PubSub, \"t\", {round})");
        assert_eq!(world.beams[0].elixir(&say), ":ok");
        assert_eq!(world.next(&mut stream), Term::from(round));
        world.heard(0, &format!("[{round}]"));
        world.heard(1, &format!("[{round}]"));
        world.runtime.block_on(rust.broadcast("t", term!({:back, round}))).unwrap();
        assert_eq!(world.next(&mut stream), term!({:back, round}));
        world.heard(0, &format!("[back: {round}]"));
        world.heard(1, &format!("[back: {round}]"));
    }
    // It goes, and one of its name comes.
    let name = world.nodes[0].name().to_string();
    let old = world.nodes.remove(0);
    world.runtime.block_on(old.shutdown());
    world.members("Adapter", 2);
    world.add_node(&name);
    let rust = {
        let _in_the_runtime = world.runtime.enter();
        pubsub(&world.nodes[0], 1, 1)
    };
    world.members("Adapter", 3);
    let mut stream = rust.subscribe("t").unwrap();
    assert_eq!(world.beams[1].elixir("Phoenix.PubSub.broadcast(Lab.PubSub, \"t\", :again)"), ":ok");
    assert_eq!(world.next(&mut stream), term!(:again));
    world.runtime.block_on(rust.broadcast("t", term!(:too))).unwrap();
    world.heard(0, "[:again, :too]");
    world.heard(1, "[:again, :too]");
    // A BEAM goes: what is said goes to who is left.
    let [first, second] = world.beams;
    drop(second);
    world.beams = [first, Beam::with_horde(release, &unique("later"), world.port)];
    let last = Instant::now() + AT_MOST;
    while world.nodes[0].pg("Elixir.Phoenix.PubSub").members(rust.groups()[0]).len() != 2 {
        assert!(Instant::now() < last, "the BEAM that has ended is a member");
        std::thread::sleep(Duration::from_millis(5));
    }
    world.runtime.block_on(rust.broadcast("t", term!(:left))).unwrap();
    world.heard(0, "[:left]");
}
