use super::*;

fn translated(line: &str) -> String {
    let args = translate(line.split(' ').map(OsString::from).collect());
    args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_options_of_erts_become_ours() {
    for (theirs, ours) in [
        (
            "tiebeam epmd -packet_timeout 1 -port 2243 -delay_write 1 -relaxed_command_check",
            "tiebeam epmd --packet-timeout 1 --port 2243 --delay-write 1 --relaxed-command-check --as-erts",
        ),
        ("/usr/bin/epmd -d -d -daemon", "/usr/bin/epmd epmd --debug --debug --daemon --as-erts"),
        ("epmd", "epmd epmd --as-erts"),
        ("epmd -names", "epmd epmd --names --as-erts"),
        ("tiebeam -v --json epmd -stop -port", "tiebeam -v --json epmd --stop -port --as-erts"),
        ("tiebeam epmd --kill", "tiebeam epmd --kill"),
        ("tiebeam names -d", "tiebeam names -d"),
        ("tiebeam ping epmd -port", "tiebeam ping epmd -port"),
        ("tiebeam", "tiebeam"),
    ] {
        assert_eq!(translated(theirs), ours);
    }
}

#[derive(Debug, clap::Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, clap::Error> {
    use clap::Parser;
    Program::try_parse_from(line.split(' ')).map(|program| program.args)
}

#[test]
fn options_become_settings() {
    let args = parse("epmd --port 4370 --address 10.0.0.1,10.0.0.2 --address ::1 --packet-timeout 2 --debug").unwrap();
    let config = args.config().unwrap();
    assert_eq!(config.port, 4370);
    assert_eq!(config.addresses, ["10.0.0.1", "10.0.0.2", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    let settings = args.settings(config);
    assert_eq!(settings.packet_timeout, Duration::from_secs(2));
    assert_eq!(settings.remembered_names, 5);
    assert!(settings.max_connections >= 32);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for line in ["epmd --port 0", "epmd --port 65536", "epmd --packet-timeout 0", "epmd --kill --stop a", "epmd x"] {
        assert!(parse(line).is_err(), "{line}");
    }
}
