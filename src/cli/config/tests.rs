//! What a file says, what overrides it, and where it is wrong.

use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;

fn config() -> Config {
    Config { cli: lenient(Cli::command()), file: "node.toml".into() }
}

fn flags(text: &str, given: &[&str]) -> Vec<String> {
    let given: Vec<String> = given.iter().map(|key| (*key).to_owned()).collect();
    let flags = config().flags(text, &given).unwrap_or_else(|wrong| panic!("{wrong}"));
    flags.into_iter().map(|flag| flag.into_string().expect("text")).collect()
}

fn wrong(text: &str) -> String {
    config().flags(text, &[]).expect_err(text).to_string()
}

const FILE: &str = r#"
name = "rust@127.0.0.1"
port = 0x1F90
demo = true
hidden = false
verbose = 2
connect = ["a@127.0.0.1", "b@127.0.0.1"]
crdt = "store"
crdt-neighbour = "store@a@127.0.0.1"
cookie = "secret"
"#;

#[test]
fn every_key_becomes_its_flag() {
    assert_eq!(
        flags(FILE, &[]),
        [
            "--name=rust@127.0.0.1",
            "--port=8080",
            "--demo",
            "--verbose",
            "--verbose",
            "--connect=a@127.0.0.1",
            "--connect=b@127.0.0.1",
            "--crdt=store",
            "--crdt-neighbour=store@a@127.0.0.1",
            "--cookie=secret",
        ]
    );
    assert!(flags("", &[]).is_empty());
}

#[test]
fn each_replica_may_have_neighbours_of_its_own() {
    let text = r#"
name = "rust@127.0.0.1"
[[crdt]]
name = "store"
neighbour = ["store@a@127.0.0.1", "{store,'b@127.0.0.1'}"]
[[crdt]]
neighbour = "users@c@127.0.0.1"
name = "users"
[[crdt]]
name = "alone"
"#;
    let replicas = [
        "--crdt=store",
        "--crdt-neighbour=store@a@127.0.0.1",
        "--crdt-neighbour={store,'b@127.0.0.1'}",
        "--crdt=users",
        "--crdt-neighbour=users@c@127.0.0.1",
        "--crdt=alone",
    ];
    assert_eq!(flags(text, &["name"]), replicas);
    assert_eq!(
        flags("crdt = [\"a\", { name = \"b\", neighbour = \"b@c@h\" }]", &[]),
        ["--crdt=a", "--crdt=b", "--crdt-neighbour=b@c@h"]
    );
    assert_eq!(flags("[crdt]\nname = \"a\"", &[]), ["--crdt=a"]);
    assert!(flags(text, &["name", "crdt-neighbour"]).is_empty());
}

#[test]
fn what_is_said_elsewhere_overrides_it() {
    assert_eq!(flags(FILE, &["sname", "port", "verbose", "connect", "crdt", "cookie-file"]), ["--demo"]);
}

#[test]
fn each_flag_of_a_node_has_a_key() {
    let config = config();
    let keys: Vec<String> = config.keys().map(|(_, key)| key).collect();
    for key in ["name", "sname", "listen", "port", "epmd", "cluster", "health", "drain", "net-ticktime", "horde-ttl"] {
        assert!(keys.contains(&key.to_owned()), "{keys:?}");
    }
    // Those that every command takes as well.
    for key in ["cookie", "cookie-file", "ipv6", "dist-port", "json", "verbose", "color"] {
        assert!(keys.contains(&key.to_owned()), "{keys:?}");
    }
    assert!(!keys.contains(&"config".to_owned()));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, expected) in [
        ("name = \"a@h\"\nprot = 1\n", "node.toml:2:1: no flag of `tiebeam node` is named prot; there are "),
        ("port = 1\n  port = 2", "node.toml:2:3: duplicate key"),
        ("port = \n", "node.toml:1:"),
        ("# ä\nport = 70000", "node.toml:2:8: invalid value '70000' for '--port <N>'"),
        ("drain = \"soon\"", "node.toml:1:9: invalid value 'soon' for '--drain <MS>'"),
        ("epmd = \"maybe\"", "node.toml:1:8: invalid value 'maybe' for '--epmd <EPMD>'"),
        ("listen = \"nowhere\"", "node.toml:1:10: invalid value 'nowhere' for '--listen <IP>'"),
        ("demo = 1", "node.toml:1:8: demo is true or false"),
        ("verbose = 3", "node.toml:1:11: verbose is 0, 1 or 2"),
        ("connect = [\"a@h\",\n  true]", "node.toml:2:3: connect is a text or a number"),
        ("port = [1]", "node.toml:1:8: port is a text or a number"),
        ("[node]\nname = \"a@h\"", "node.toml:1:2: no flag of `tiebeam node` is named node"),
        ("config = \"other.toml\"", "node.toml:1:1: no flag"),
        ("[[crdt]]\nname = \"a\"\n  size = 1", "node.toml:3:3: crdt has no key size; there are name and neighbour"),
        ("[[crdt]]\nneighbour = \"a@b@h\"", "node.toml:1:1: crdt needs a name"),
        ("[[crdt]]\nname = \"a\"\nneighbour = [1, []]", "node.toml:3:17: crdt is a text or a number"),
        ("health = \"here\"", "node.toml:1:10: invalid value 'here' for '--health <IP:PORT>'"),
    ] {
        let told = wrong(text);
        assert!(told.starts_with(expected), "{text}\n{told}");
    }
}
