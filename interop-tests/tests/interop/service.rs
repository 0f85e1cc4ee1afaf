//! `tiebeam node` in the hands of a supervisor: health over HTTP, an end that is announced, completions and man pages.

use std::io::{Read, Write};
use std::net::TcpStream;

use interop_tests::{Beam, Release, Tiebeam, free_port, on_every_release, run, unique};

on_every_release!(
    a_node_that_drains_serves_on_and_is_not_ready,
    a_node_starts_from_a_file,
    a_node_that_ends_gives_back_names_and_memberships_first,
);

/// The status and the body of an answer.
fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the node tells its health");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).expect("a short request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("a whole answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).expect("a status").into(), body.into())
}

fn a_node_that_drains_serves_on_and_is_not_ready(release: Release) {
    let (port, health) = (free_port(), free_port());
    let name = unique("rust");
    let args = ["--demo", "--health", &format!("127.0.0.1:{health}"), "--drain", "600000"];
    let mut rust = Tiebeam::start(&name, port, &args);
    let mut beam = Beam::start(release, &unique("beam"), port);
    let add = format!("rpc:call({}, 'Elixir.Tiebeam.Demo', add, [1, 2]).", rust.atom());
    assert_eq!(beam.eval(&add), "3");
    assert_eq!(get(health, "/live").0, "200");
    assert_eq!(get(health, "/ready"), ("200".into(), format!(r#"{{"state":"ready","node":"{name}","peers":1}}"#)));
    rust.signal("TERM");
    while get(health, "/ready").0 == "200" {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(get(health, "/ready"), ("503".into(), r#"{"state":"draining"}"#.into()));
    assert_eq!(get(health, "/live").0, "200");
    // Who still calls is served until the time is over, or until a second signal cuts it short.
    assert_eq!(beam.eval(&add), "3");
    rust.signal("TERM");
    assert_eq!(rust.exit_code(), Some(0));
    beam.wait_for("nodes().", "[]");
}

fn a_node_starts_from_a_file(release: Release) {
    let (port, health, listening) = (free_port(), free_port(), free_port());
    let (file, name) = (interop_tests::files().join(unique("node.toml")), unique("rust"));
    let text = format!(
        "# A node.\nname = \"other@127.0.0.1\"\nport = {listening}\ndemo = true\nhealth = \"127.0.0.1:{health}\"\n\
         net-ticktime = 30\ncrdt = [\"store\"]\n"
    );
    std::fs::write(&file, &text).expect("a file can be written");
    let path = file.display().to_string();
    // The name on the command line overrides that of the file.
    let rust = Tiebeam::start(&name, port, &["--config", &path]);
    assert!(rust.ready.contains(&format!("listening on 127.0.0.1:{listening}")), "{}", rust.ready);
    let mut beam = Beam::start(release, &unique("beam"), port);
    assert_eq!(beam.eval(&format!("rpc:call({}, 'Elixir.Tiebeam.Demo', add, [1, 2]).", rust.atom())), "3");
    assert_eq!(beam.eval(&format!("is_pid(rpc:call({}, erlang, whereis, [store])).", rust.atom())), "true");
    assert_eq!(get(health, "/ready").0, "200");
    // What is wrong in it is told with its place, before anything starts.
    std::fs::write(&file, text.replace("ticktime = 30", "ticktime = \"soon\"")).expect("a file can be written");
    let refused = run(port, &["node", "--config", &path]);
    let place = format!("tiebeam: {path}:6:16: invalid value 'soon' for '--net-ticktime <SECONDS>'");
    assert!(refused.code == 2 && refused.stderr.starts_with(&place), "{refused:?}");
    std::fs::remove_file(&file).expect("it was there");
    let missing = run(port, &["node", "--config", &path]);
    assert!(missing.code == 2 && missing.stderr.contains(&format!("cannot read {path}")), "{missing:?}");
    beam.assert_quiet();
}

fn a_node_that_ends_gives_back_names_and_memberships_first(release: Release) {
    let port = free_port();
    let _epmd = Tiebeam::start(&unique("epmd"), port, &["--hidden"]);
    let mut rust = Tiebeam::demo(&unique("rust"), port);
    let mut beam = Beam::start(release, &unique("beam"), port);
    let node = rust.atom();
    let begin = format!(
        "{{ok, Scope}} = pg:start(s), {{ok, _}} = rpc:call({node}, pg, start, [s]), \
         P = rpc:call({node}, erlang, whereis, [echo]), ok = rpc:call({node}, pg, join, [s, g, [P, P]]), \
         yes = rpc:call({node}, global, register_name, [one, P]), \
         [1 = erlang:trace(Q, true, ['receive']) || Q <- [Scope, whereis(global_name_server)]], ok."
    );
    assert_eq!(beam.eval(&begin), "ok");
    beam.wait_for("{length(pg:get_members(s, g)), is_pid(global:whereis_name(one))}.", "{2,true}");
    rust.signal("TERM");
    assert_eq!(rust.exit_code(), Some(0));
    beam.wait_for("nodes().", "[]");
    beam.wait_for("{pg:get_members(s, g), global:whereis_name(one)}.", "{[],undefined}");
    // What the BEAM's own processes were told, before the connection closed: messages, not the loss of a node. What was
    // traced is here once its delivery is told of.
    let told = "[begin R = erlang:trace_delivered(Q), receive {trace_delivered, Q, R} -> ok end end \
                || Q <- [whereis(s), whereis(global_name_server)]], Told = fun T() -> receive {trace, _, 'receive', M} -> [M | T()] after 0 -> [] end end, Ms = Told(), \
                Left = [length(Ps) || {leave, _, Ps, [g]} <- Ms] ++ [length(Ps) || {update, _, [{g, [], Ps}]} <- Ms], \
                {Left, lists:usort([N || {'$gen_call', _, {unregister, N}} <- Ms])}.";
    assert_eq!(beam.eval(told), "{[2],[one]}");
    beam.assert_quiet();
}

#[test]
fn shells_and_readers_get_what_they_need() {
    for shell in ["bash", "zsh", "fish"] {
        let made = run(free_port(), &["completions", shell]);
        assert_eq!(made.code, 0, "{made:?}");
        assert!(made.stdout.contains("tiebeam") && made.stdout.contains("crdt-neighbour"), "{shell}");
    }
    let page = run(free_port(), &["man"]);
    assert!(page.code == 0 && page.stdout.contains(".TH tiebeam 1"), "{page:?}");
    let folder = interop_tests::files().join(unique("man"));
    let pages = run(free_port(), &["man", &folder.display().to_string()]);
    assert_eq!(pages.code, 0, "{pages:?}");
    let node = std::fs::read_to_string(folder.join("tiebeam-node.1")).expect("a page for each command");
    assert!(node.contains("net\\-ticktime"), "{node}");
    std::fs::remove_dir_all(&folder).expect("it was there");
}
