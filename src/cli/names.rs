//! `tiebeam names`: what `epmd -names` prints, of any host.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use crate::cli::epmd::on_this_machine;
use crate::epmd::reply::parse_names;
use crate::epmd::{Config, Error};
use crate::net::epmd_client as client;

/// The options of `tiebeam names`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The machine whose EPMD is asked [default: this one].
    #[arg(long)]
    host: Option<String>,
}

/// Lists the nodes that are registered with an EPMD.
pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let config = config()?;
    let (listed, nobody) = match &args.host {
        None => (on_this_machine(&config, client::names_text).await, "epmd: Cannot connect to local epmd".to_owned()),
        Some(host) => {
            let found = resolve(&config, host).await;
            if found.is_empty() {
                eprintln!("epmd: no such host: {host}");
                return Ok(ExitCode::from(3));
            }
            (ask_first(&found).await, format!("epmd: Cannot connect to epmd on {host}"))
        }
    };
    let (port, text) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            report(&error, &nobody);
            return Ok(exit_code(&error));
        }
    };
    let mut stdout = std::io::stdout().lock();
    if json {
        for (name, port) in parse_names(&text) {
            writeln!(stdout, "{}", serde_json::json!({ "name": name, "port": port }))?;
        }
    } else {
        print(&mut stdout, port, &text)?;
    }
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// `ERL_EPMD_PORT` and `ERL_EPMD_ADDRESS` of this process.
pub(crate) fn config() -> Result<Config, Error> {
    Config::from_vars(|name| std::env::var(name).ok())
}

/// Prints a list as erts' program does. The names in it are whatever somebody registered: what a
/// terminal could take for orders does not come through.
pub(crate) fn print(out: &mut impl Write, port: u32, text: &[u8]) -> std::io::Result<()> {
    let harmless = |c: char| if c.is_control() && !matches!(c, '\n' | '\0') { char::REPLACEMENT_CHARACTER } else { c };
    let list: String = String::from_utf8_lossy(text).chars().map(harmless).collect();
    // In one write: whoever reads it from a pipe may look no further than at what comes first.
    out.write_all(format!("epmd: up and running on port {port} with data:\n{list}").as_bytes())
}

/// Says on stderr why an EPMD could not be asked; `nobody` is what is said when there is none.
pub(crate) fn report(error: &Error, nobody: &str) {
    match error {
        Error::NoEpmd(_) => eprintln!("{nobody}"),
        other => eprintln!("{nobody}: {other}"),
    }
}

/// 3 when there was no connection, 1 when the answer was no.
pub(crate) fn exit_code(error: &Error) -> ExitCode {
    match error {
        Error::NoEpmd(_) | Error::TimedOut { .. } | Error::Io(_) => ExitCode::from(3),
        _ => ExitCode::FAILURE,
    }
}

/// Asks the first of a host's addresses that has an EPMD.
async fn ask_first(addresses: &[SocketAddr]) -> Result<(u32, Vec<u8>), Error> {
    let mut listed = Err(Error::Io(std::io::ErrorKind::NotFound));
    for epmd in addresses {
        listed = client::names_text(*epmd).await;
        if listed.is_ok() {
            break;
        }
    }
    listed
}

async fn resolve(config: &Config, host: &str) -> Vec<SocketAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return vec![config.at(ip)];
    }
    tokio::net::lookup_host((host, config.port)).await.map(Iterator::collect).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what comes in each write apart.
    #[derive(Default)]
    struct Writes(Vec<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printed(text: &str) -> Vec<String> {
        let mut writes = Writes::default();
        print(&mut writes, 4369, text.as_bytes()).unwrap();
        writes.0
    }

    #[test]
    fn a_list_is_one_write() {
        let list = "epmd: up and running on port 4369 with data:\nname a at port 1\nname b\u{e9} at port 2\n";
        assert_eq!(printed("name a at port 1\nname b\u{e9} at port 2\n"), [list]);
    }

    #[test]
    fn a_name_gives_the_terminal_no_orders() {
        let list = printed("name \u{1b}]0;mine\u{7} at port 1\n").concat();
        assert!(list.ends_with("name \u{fffd}]0;mine\u{fffd} at port 1\n"), "{list:?}");
    }

    #[test]
    fn no_connection_is_3_and_a_no_is_1() {
        let code = |error: &Error| format!("{:?}", exit_code(error));
        let (no, no_connection) = (format!("{:?}", ExitCode::FAILURE), format!("{:?}", ExitCode::from(3)));
        assert_eq!(code(&Error::NoEpmd("127.0.0.1:4369".parse().unwrap())), no_connection);
        assert_eq!(code(&Error::Io(std::io::ErrorKind::HostUnreachable)), no_connection);
        assert_eq!(code(&Error::NameNotRegistered("a".into())), no);
    }
}
