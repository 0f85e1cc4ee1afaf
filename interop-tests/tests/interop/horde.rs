//! A Rust node beside real Horde: its processes are names of a registry that BEAMs keep.

mod faults;
mod functions;
mod hybrid;
mod leave;
mod links;
mod mesh;
mod mixed;
mod registry;
mod speed;
mod supervisor;

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, run, unique};

on_every_release!(rust_processes_have_names, a_horde_of_all_nodes_goes_on_beside_rust);

/// Two BEAMs with Horde, connected to each other and to a Rust node with the demo services.
struct Horde {
    port: u16,
    rust: Tiebeam,
    beams: [Beam; 2],
}

impl Horde {
    fn new(release: Release) -> Self {
        let port = free_port();
        let rust = Tiebeam::demo(&unique("rust"), port);
        let mut beams = [(); 2].map(|()| Beam::with_horde(release, &unique("horde"), port));
        let [first, second] = &mut beams;
        assert_eq!(first.eval(&format!("net_kernel:connect_node({}).", second.atom())), "true");
        for beam in [first, second] {
            assert_eq!(beam.eval(&format!("net_kernel:connect_node({}).", rust.atom())), "true");
            beam.wait_for("length(nodes()).", "2");
        }
        Self { port, rust, beams }
    }

    /// The list of both BEAMs' members of this name.
    fn members(&self, name: &str) -> String {
        let [first, second] = self.beams.each_ref().map(|beam| format!("{{{name}, :{:?}}}", beam.name()));
        format!("[{first}, {second}]")
    }
}

fn rust_processes_have_names(release: Release) {
    if !release.has_horde(concat!(module_path!(), "::rust_processes_have_names")) {
        return;
    }
    let mut horde = Horde::new(release);
    let members = horde.members("LabReg");
    for beam in &mut horde.beams {
        let start =
            format!("{{:ok, _}} = Horde.Registry.start_link(name: LabReg, keys: :unique, members: {members}); :ok");
        assert_eq!(beam.elixir(&start), ":ok");
        beam.wait_for("length(gen_server:call('Elixir.LabReg', members)).", "2");
    }
    let (rust, atom) = (format!(":{:?}", horde.rust.name()), horde.rust.atom());
    let [first, second] = &mut horde.beams;
    let register = format!(
        "{{:ok, pid}} = :rpc.call({rust}, Tiebeam.Demo, :start_echo, []); \
         {{:ok, _}} = GenServer.call(LabReg, {{:register, \"echo\", :a_value, pid}}); :ok"
    );
    assert_eq!(first.elixir(&register), ":ok");
    // The owner is asked by erpc whether the process lives; only then is it found.
    let found = "case 'Elixir.Horde.Registry':lookup('Elixir.LabReg', <<\"echo\">>) of \
                 [{P, V}] -> {node(P), V}; Other -> Other end.";
    for beam in [&mut *first, &mut *second] {
        beam.wait_for(found, &format!("{{{atom},a_value}}"));
        let call = "GenServer.call({:via, Horde.Registry, {LabReg, \"echo\"}}, {:hello, 1})";
        assert_eq!(beam.elixir(call), "{:hello, 1}");
        assert_eq!(
            beam.elixir("Horde.Registry.keys(LabReg, Horde.Registry.whereis_name({LabReg, \"echo\"}))"),
            "[\"echo\"]"
        );
    }
    for member in [first.name(), second.name()] {
        let shown = run(horde.port, &["horde", member, "LabReg", "lookup", "\"echo\""]);
        assert_eq!(shown.code, 0, "{shown:?}");
        let start = format!("\"echo\" => #Pid<{}/", horde.rust.name());
        assert!(shown.stdout.starts_with(&start) && shown.stdout.ends_with("> :a_value\n"), "{shown:?}");
        let list = run(horde.port, &["horde", member, "LabReg", "list"]);
        assert_eq!(list.stdout, shown.stdout);
        let members = run(horde.port, &["horde", member, "LabReg", "members"]);
        assert_eq!(members.stdout.lines().count(), 2, "{members:?}");
        assert!(members.stdout.contains(&format!("{{LabReg, :{member:?}}}")), "{members:?}");
        let missing = run(horde.port, &["horde", member, "LabReg", "lookup", "\"nobody\""]);
        assert_eq!((missing.code, missing.stdout.as_str()), (1, ""), "{missing:?}");
    }
    // The registry is linked to it, over the wire: its end frees the name everywhere.
    let end = "exit('Elixir.Horde.Registry':whereis_name({'Elixir.LabReg', <<\"echo\">>}), kill).";
    assert_eq!(second.eval(end), "true");
    for beam in [&mut *first, &mut *second] {
        beam.wait_for("'Elixir.Horde.Registry':lookup('Elixir.LabReg', <<\"echo\">>).", "[]");
        beam.wait_for("'Elixir.Horde.Registry':count('Elixir.LabReg').", "0");
        beam.assert_quiet();
    }
    watched(horde);
}

/// What `tiebeam horde … watch` shows until the member is gone.
fn watched(horde: Horde) {
    let Horde { port, rust: _rust, beams: [mut first, mut second] } = horde;
    let member = second.name().to_owned();
    let watch =
        std::thread::spawn(move || run(port, &["horde", &member, "LabReg", "watch", "--interval", "20", "--json"]));
    second.wait_for("length(nodes(hidden)).", "1");
    // A look takes 20 ms: each state stays for many.
    let look = || std::thread::sleep(std::time::Duration::from_millis(500));
    for act in ["register(LabReg, :watched, 1)", "unregister(LabReg, :watched)"] {
        first.elixir(&format!("Horde.Registry.{act}"));
        let count = if act.starts_with("reg") { "1" } else { "0" };
        second.wait_for("'Elixir.Horde.Registry':count('Elixir.LabReg').", count);
        look();
    }
    drop(second);
    let shown = watch.join().expect("a one-shot that ends");
    assert_eq!(shown.code, 3, "{shown:?}");
    let lines: Vec<_> = shown.stdout.lines().collect();
    let [register, unregister, error] = lines[..] else { panic!("{shown:?}") };
    assert!(register.starts_with(r#"{"event":"register","key":":watched","pid":"#), "{shown:?}");
    assert_eq!(unregister, r#"{"event":"unregister","key":":watched"}"#);
    assert!(error.starts_with(r#"{"error":"#), "{shown:?}");
}

fn a_horde_of_all_nodes_goes_on_beside_rust(release: Release) {
    if !release.has_horde(concat!(module_path!(), "::a_horde_of_all_nodes_goes_on_beside_rust")) {
        return;
    }
    let mut horde = Horde::new(release);
    for beam in &mut horde.beams {
        let start = "{:ok, _} = Horde.Registry.start_link(name: AutoReg, keys: :unique, members: :auto); \
                     {:ok, _} = Horde.DynamicSupervisor.start_link(name: AutoSup, strategy: :one_for_one, \
                     members: :auto); :ok";
        assert_eq!(beam.elixir(start), ":ok");
    }
    // The Rust node has neither, and is a member of both by its visibility.
    for beam in &mut horde.beams {
        beam.wait_for("length(gen_server:call('Elixir.AutoReg', members)).", "3");
        beam.wait_for("length(gen_server:call('Elixir.AutoSup', members)).", "3");
    }
    let [first, second] = &mut horde.beams;
    let children = "for i <- 1..12, do: {:ok, _} = Horde.DynamicSupervisor.start_child(AutoSup, \
                    %{id: i, start: {Agent, :start_link, [Kernel, :self, []]}}); :ok";
    assert_eq!(first.elixir(children), ":ok");
    assert_eq!(first.elixir("{:ok, _} = Horde.Registry.register(AutoReg, :key, 1); :ok"), ":ok");
    for beam in [&mut *first, &mut *second] {
        beam.wait_for("maps:get(active, 'Elixir.Horde.DynamicSupervisor':count_children('Elixir.AutoSup')).", "12");
        beam.wait_for("length('Elixir.Horde.Registry':lookup('Elixir.AutoReg', key)).", "1");
        beam.assert_quiet();
    }
}
