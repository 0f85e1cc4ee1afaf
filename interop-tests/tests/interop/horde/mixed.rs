//! Hordes of several releases and of Rust: every function from every side, and each member's answer the same.

use interop_tests::Release::{Otp25, Otp27, Otp29};
use interop_tests::unique;

use super::mesh::{Kind, Member, Mesh, Setup};

#[test]
fn of_25_27_and_one_rust() {
    every_function("of_25_27_and_one_rust", &[Kind::Beam(Otp25), Kind::Beam(Otp27), Kind::Rust]);
}

#[test]
fn of_27_29_and_one_rust() {
    every_function("of_27_29_and_one_rust", &[Kind::Beam(Otp27), Kind::Beam(Otp29), Kind::Rust]);
}

#[test]
fn of_25_29_and_one_rust() {
    every_function("of_25_29_and_one_rust", &[Kind::Beam(Otp25), Kind::Beam(Otp29), Kind::Rust]);
}

#[test]
fn of_25_and_two_rust() {
    every_function("of_25_and_two_rust", &[Kind::Beam(Otp25), Kind::Rust, Kind::Rust]);
}

#[test]
fn of_27_and_two_rust() {
    every_function("of_27_and_two_rust", &[Kind::Beam(Otp27), Kind::Rust, Kind::Rust]);
}

#[test]
fn of_29_and_two_rust() {
    every_function("of_29_and_two_rust", &[Kind::Beam(Otp29), Kind::Rust, Kind::Rust]);
}

fn every_function(scenario: &str, kinds: &[Kind]) {
    let scenario = format!("{}::{scenario}", module_path!());
    let Some(mut mesh) = Mesh::new(&scenario, &Setup { kinds, ..Setup::default() }) else { return };
    registry(&mut mesh);
    supervisor(&mut mesh);
    cluster(&mut mesh);
    mesh.assert_quiet();
}

/// Waits until every member answers the same, asked by rpc: `M:F(A)`, where the driver prints the answers.
fn all(mesh: &mut Mesh, module: &str, function: &str, args: &str, shape: &str, expected: &str) {
    let list = mesh.list();
    let code = format!(
        "lists:usort([(fun(X) -> try {shape} catch error:_ -> X end end)(erpc:call(N, '{module}', {function}, {args})) || {{N, _}} <- {list}])."
    );
    mesh.until(&format!("{function} {args}"), &code, &format!("[{expected}]"));
}

const REGISTRY: &str = "Elixir.Horde.Registry";

fn registry(mesh: &mut Mesh) {
    let list = mesh.list();
    // Each member registers a process of its own; each of them is called from every BEAM by its name.
    for (n, member) in mesh.members.iter().map(Member::atom).enumerate() {
        let register = format!(
            "[M] = [M || {{N, _}} = M <- {list}, N =:= {member}], {{ok, P}} = horde_load:register_here(M, {n}), node(P) =:= {member}."
        );
        assert_eq!(mesh.driver.eval(&register), "true");
    }
    let members = mesh.members.len();
    for n in 0..members {
        let owner = mesh.members[n].atom();
        let args = format!("['Elixir.LabReg', {n}]");
        all(mesh, REGISTRY, "lookup", &args, "[{P, V}] = X, {node(P), V}", &format!("{{{owner},{owner}}}"));
        all(mesh, REGISTRY, "whereis_name", &format!("[{{'Elixir.LabReg', {n}}}]"), "node(X)", &owner);
        all(mesh, REGISTRY, "match", &format!("['Elixir.LabReg', {n}, '_']"), "[{P, _}] = X, node(P)", &owner);
        all(mesh, REGISTRY, "count_match", &format!("['Elixir.LabReg', {n}, {owner}]"), "X", "1");
        all(mesh, REGISTRY, "count_match", &format!("['Elixir.LabReg', {n}, other]"), "X", "0");
        let whose = format!(
            "[hd([P || {{P, _}} <- {args}])]",
            args = format_args!("erpc:call({owner}, '{REGISTRY}', lookup, {args})")
        );
        all(mesh, REGISTRY, "keys", &format!("['Elixir.LabReg' | {whose}]"), "X", &format!("[{n}]"));
        let through = format!("{{:via, Horde.Registry, {{LabReg, {n}}}}}");
        for member in &mut mesh.members {
            if let Member::Beam(beam) = member {
                assert_eq!(
                    beam.elixir(&format!("GenServer.call({through}, {{:hello, {n}}})")),
                    format!("{{:hello, {n}}}")
                );
                let taken =
                    format!("match?({{:error, {{:already_registered, _}}}}, Horde.Registry.register(LabReg, {n}, 1))");
                assert_eq!(beam.elixir(&taken), "true");
            }
        }
        // And from Rust, by the same name.
        for rust in mesh.members.iter().filter(|member| member.is_rust()).map(Member::atom).collect::<Vec<_>>() {
            let call = format!(
                "erpc:call({rust}, gen_server, call, [{{via, '{REGISTRY}', {{'Elixir.LabReg', {n}}}}}, {{hello, {n}}}])."
            );
            assert_eq!(mesh.driver.eval(&call), format!("{{hello,{n}}}"));
            let taken =
                format!("{{error, {{already_registered, _}}}} = horde_load:register_here({{{rust}, rust}}, {n}), ok.");
            assert_eq!(mesh.driver.eval(&taken), "ok");
        }
    }
    all(mesh, REGISTRY, "count", "['Elixir.LabReg']", "X", &members.to_string());
    let spec = "['Elixir.LabReg', [{{'$1', '_', '$2'}, [{is_atom, '$2'}], ['$1']}]]";
    let keys: Vec<_> = (0..members).map(|n| n.to_string()).collect();
    all(mesh, REGISTRY, "select", spec, "lists:sort(X)", &format!("[{}]", keys.join(",")));
    // Pairs beside the names, put by each and seen by all.
    for n in 0..members {
        let put = format!(
            "erpc:call({}, '{REGISTRY}', put_meta, ['Elixir.LabReg', {{meta, {n}}}, {n}]).",
            mesh.members[n].atom()
        );
        assert_eq!(mesh.driver.eval(&put), "ok");
        all(mesh, REGISTRY, "meta", &format!("['Elixir.LabReg', {{meta, {n}}}]"), "X", &format!("{{ok,{n}}}"));
        let delete = format!(
            "erpc:call({}, '{REGISTRY}', delete_meta, ['Elixir.LabReg', {{meta, {n}}}]).",
            mesh.members[(n + 1) % members].atom()
        );
        assert_eq!(mesh.driver.eval(&delete), "ok");
        all(mesh, REGISTRY, "meta", &format!("['Elixir.LabReg', {{meta, {n}}}]"), "X", "error");
    }
    only_the_owner(mesh);
    // A process that ends gives its name back; so does a member that is asked to.
    let end = "exit(element(1, hd(erpc:call(element(1, hd(MEMBERS)), 'Elixir.Horde.Registry', lookup, ['Elixir.LabReg', 0]))), kill).";
    assert_eq!(mesh.driver.eval(&end.replace("MEMBERS", &list)), "true");
    all(mesh, REGISTRY, "lookup", "['Elixir.LabReg', 0]", "X", "[]");
    for n in 1..members {
        let other = mesh.members[n - 1].atom();
        let unregister = format!("erpc:call({other}, '{REGISTRY}', unregister_name, [{{'Elixir.LabReg', {n}}}]).");
        assert_eq!(mesh.driver.eval(&unregister), "ok");
    }
    all(mesh, REGISTRY, "count", "['Elixir.LabReg']", "X", "0");
}

/// What a process does with its own registration: values that it changes, names that it gives back by their values,
/// and what is done to those who have a name.
fn only_the_owner(mesh: &mut Mesh) {
    let members = mesh.members.len();
    let whole: Vec<_> =
        mesh.members.iter().enumerate().filter(|(_, member)| !member.is_rust()).map(|(n, _)| n).collect();
    for n in whole {
        let beam = mesh.members[n].beam();
        let own = "{:ok, _} = Horde.Registry.register(LabReg, :mine, 1); {:ok, _} = Horde.Registry.register(LabReg, :too, 2); \
                   :ok";
        assert_eq!(beam.elixir(own), ":ok");
        // It sees its own a moment later.
        beam.wait_for("'Elixir.Horde.Registry':count_match('Elixir.LabReg', mine, 1).", "1");
        assert_eq!(beam.elixir("Horde.Registry.update_value(LabReg, :mine, & &1 + 10)"), "{11, 1}");
        all(mesh, REGISTRY, "lookup", "['Elixir.LabReg', mine]", "[{_, V}] = X, {value, V}", "{value,11}");
        let beam = mesh.members[n].beam();
        let dispatched = "me = self(); Horde.Registry.dispatch(LabReg, :mine, fn [{pid, v}] -> send(me, {pid == me, v}) end); \
                          receive do got -> got after 5000 -> :none end";
        assert_eq!(beam.elixir(dispatched), "{true, 11}");
        assert_eq!(beam.elixir("Horde.Registry.unregister_match(LabReg, :too, 3)"), ":ok");
        assert_eq!(beam.elixir("Horde.Registry.unregister_match(LabReg, :too, 2)"), ":ok");
        assert_eq!(beam.elixir("Horde.Registry.unregister(LabReg, :mine)"), ":ok");
        all(mesh, REGISTRY, "count", "['Elixir.LabReg']", "X", &members.to_string());
    }
}

const SUPERVISOR: &str = "Elixir.Horde.DynamicSupervisor";

fn supervisor(mesh: &mut Mesh) {
    let list = mesh.list();
    let members = mesh.members.len();
    all(mesh, SUPERVISOR, "wait_for_quorum", "['Elixir.LabSup', 10000]", "X", "ok");
    // Each member is asked to start its share, wherever it is then run.
    for n in 0..30 {
        let start = format!(
            "element(1, erpc:call({}, '{SUPERVISOR}', start_child, ['Elixir.LabSup', \
             #{{id => {n}, start => {{'Elixir.Tiebeam.Demo', start_counter, [{n}]}}}}])).",
            mesh.members[n % members].atom()
        );
        assert_eq!(mesh.driver.eval(&start), "ok");
    }
    let counts = |n: usize| format!("#{{active => {n},specs => {n},supervisors => 0,workers => {n}}}");
    let same = |mesh: &mut Mesh, n: usize| {
        let code = format!(
            "lists:usort([erpc:call(N, '{SUPERVISOR}', count_children, ['Elixir.LabSup']) =:= {} || {{N, _}} <- {list}]).",
            counts(n)
        );
        mesh.until("as many children everywhere", &code, "[true]");
    };
    same(mesh, 30);
    let places = format!(
        "length(lists:usort([node(P) || {{_, P, _, _}} <- erpc:call(element(1, hd({list})), '{SUPERVISOR}', which_children, ['Elixir.LabSup']), \
         is_integer(gen_server:call(P, get))]))."
    );
    assert_eq!(mesh.driver.eval(&places), members.to_string(), "the ring gives some to each");
    all(
        mesh,
        SUPERVISOR,
        "which_children",
        "['Elixir.LabSup']",
        "{length(X), lists:usort([{I, T} || {I, _, T, _} <- X])}",
        "{30,[{undefined,worker}]}",
    );
    // A child that crashes is started again; one that is ended, through any member, is gone.
    for n in 0..members {
        let (owner, asked) = (mesh.members[n].atom(), mesh.members[(n + 1) % members].atom());
        let children = format!(
            "[P || {{_, P, _, _}} <- gen_server:call({{'Elixir.LabSup.ProcessesSupervisor', {owner}}}, which_children), is_pid(P)]"
        );
        assert_eq!(mesh.driver.eval(&format!("exit(hd({children}), kill).")), "true");
        same(mesh, 30 - n);
        let end =
            format!("erpc:call({asked}, '{SUPERVISOR}', terminate_child, ['Elixir.LabSup', lists:last({children})]).");
        mesh.until("the end of a child", &end, "ok");
        same(mesh, 29 - n);
        let nobody = format!("erpc:call({asked}, '{SUPERVISOR}', terminate_child, ['Elixir.LabSup', self()]).");
        assert_eq!(mesh.driver.eval(&nobody), "{error,not_found}");
    }
    mesh.until_equal();
}

fn cluster(mesh: &mut Mesh) {
    let members = mesh.members.len();
    for name in ["LabReg", "LabSup"] {
        let mut sorted: Vec<_> =
            mesh.members.iter().map(|member| format!("{{'Elixir.{name}',{}}}", member.atom())).collect();
        sorted.sort();
        let printed = format!("[{}]", sorted.join(","));
        all(mesh, "Elixir.Horde.Cluster", "members", &format!("['Elixir.{name}']"), "lists:sort(X)", &printed);
        // Each member in turn adds one that is not there, and takes it away again.
        for n in 0..members {
            let nobody = format!("{{'Elixir.{name}', '{}'}}", unique("nobody"));
            let asked = mesh.members[n].atom();
            let set = |list: &str| {
                format!("erpc:call({asked}, 'Elixir.Horde.Cluster', set_members, ['Elixir.{name}', {list}]).")
            };
            assert_eq!(mesh.driver.eval(&set(&format!("[{nobody} | {printed}]"))), "ok");
            all(
                mesh,
                "Elixir.Horde.Cluster",
                "members",
                &format!("['Elixir.{name}']"),
                "length(X)",
                &(members + 1).to_string(),
            );
            assert_eq!(mesh.driver.eval(&set(&printed)), "ok");
            all(mesh, "Elixir.Horde.Cluster", "members", &format!("['Elixir.{name}']"), "lists:sort(X)", &printed);
        }
    }
}
