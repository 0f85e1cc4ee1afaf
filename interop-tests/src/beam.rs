//! A BEAM of a release, driven over a socket of its own: so what it logs is all that it prints.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::release::Place;
use crate::{COOKIE, Release, unique};

/// A running BEAM. Dropping it kills it.
#[derive(Debug)]
pub struct Beam {
    name: String,
    place: Place,
    /// The container, or nothing.
    container: String,
    child: Child,
    control: TcpStream,
    log: Arc<Mutex<String>>,
}

/// How long a BEAM may take to come up on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(120);

/// How long one evaluation may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

impl Beam {
    /// Starts a BEAM that is registered with the EPMD at `epmd_port`, which runs already.
    pub fn start(release: Release, name: &str, epmd_port: u16) -> Self {
        Self::start_with(release, name, epmd_port, &["-start_epmd", "false"])
    }

    /// Starts a BEAM that brings its own EPMD, at `epmd_port`.
    pub fn start_with_epmd(release: Release, name: &str, epmd_port: u16) -> Self {
        Self::start_with(release, name, epmd_port, &[])
    }

    /// Starts a BEAM that has Horde and what it needs in its code path, and the applications started; the scenario
    /// asked [`Release::has_horde`].
    pub fn with_horde(release: Release, name: &str, epmd_port: u16) -> Self {
        Self::with_horde_and(release, name, epmd_port, &[])
    }

    /// The same, with further arguments for `erl`.
    pub fn with_horde_and(release: Release, name: &str, epmd_port: u16, args: &[&str]) -> Self {
        let horde = release.horde().expect("the scenario asked whether Horde is given");
        let here = if release.place() == Some(Place::Container) { PathBuf::from(HORDE) } else { horde.clone() };
        let apps = std::fs::read_dir(&horde).expect("Horde's folder can be read").map_while(Result::ok);
        let paths: Vec<_> = apps.map(|app| here.join(app.file_name()).join("ebin").display().to_string()).collect();
        let mut args = [&["-start_epmd", "false"], args].concat();
        args.extend(paths.iter().flat_map(|path| ["-pa", path]));
        let mut beam = Self::start_with(release, name, epmd_port, &args);
        let started = beam.elixir("{:ok, _} = Application.ensure_all_started(:horde); :started");
        assert_eq!(started, ":started");
        beam
    }

    /// Starts a BEAM with further arguments for `erl`.
    pub fn start_with(release: Release, name: &str, epmd_port: u16, args: &[&str]) -> Self {
        let place = release.place().expect("the scenario asked whether the release is here");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let container = format!("tiebeam-{}", unique("beam").replace(['@', '.'], "-"));
        let mut command = match place {
            Place::Container => in_container(release, &container, epmd_port),
            Place::Here => {
                let mut command = Command::new("erl");
                command.env("ERL_EPMD_PORT", epmd_port.to_string());
                command
            }
        };
        let sources = if place == Place::Container { PathBuf::from("/beam") } else { sources() };
        let boot = format!(
            "lists:foreach(fun(F) -> {{ok, M, B}} = compile:file(F, [binary, nowarn_deprecated_catch]), \
             {{module, M}} = code:load_binary(M, F, B) end, \
             filelib:wildcard(\"{}/*.erl\")), tiebeam_peer:main({port}).",
            sources.display()
        );
        command.args(["-noinput", "-name", name, "-setcookie", COOKIE]).args(args);
        command.args(["-kernel", "logger_level", "notice", "-eval", &boot]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("docker or erl starts");
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take(), &log);
        collect(child.stderr.take(), &log);
        let control = accept(&listener, &mut child, &log);
        Self { name: name.into(), place, container, child, control, log }
    }

    /// Its node name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its node name as Erlang writes the atom.
    pub fn atom(&self) -> String {
        format!("'{}'", self.name)
    }

    /// Evaluates Erlang expressions and returns the last value as `~0tp` prints it; fails the test where they raise.
    pub fn eval(&mut self, code: &str) -> String {
        self.ask('e', code).unwrap_or_else(|error| panic!("{code}\nraised {error}\nlog: {}", self.log()))
    }

    /// Evaluates an Elixir expression and returns what `inspect` prints.
    pub fn elixir(&mut self, code: &str) -> String {
        self.ask('x', code).unwrap_or_else(|error| panic!("{code}\nraised {error}\nlog: {}", self.log()))
    }

    /// Evaluates Erlang expressions until they return `expected`, for at most a minute: it is the machine that is slow then.
    pub fn wait_for(&mut self, code: &str, expected: &str) {
        let last = Instant::now() + Duration::from_secs(60);
        loop {
            let got = self.eval(code);
            if got == expected {
                return;
            }
            assert!(Instant::now() < last, "{code} is still {got}, not {expected}\nlog: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&mut self, kind: char, code: &str) -> Result<String, String> {
        let request = format!("{kind}{code}");
        let len = u32::try_from(request.len()).expect("a short request");
        self.control.write_all(&len.to_be_bytes()).expect("the BEAM's control socket is open");
        self.control.write_all(request.as_bytes()).expect("the BEAM's control socket is open");
        let mut len = [0; 4];
        if let Err(error) = self.control.read_exact(&mut len) {
            panic!("no answer to {code}: {error}\nlog: {}", self.log());
        }
        let mut answer = vec![0; u32::from_be_bytes(len) as usize];
        self.control.read_exact(&mut answer).expect("a whole answer");
        let text = String::from_utf8_lossy(&answer[1..]).into_owned();
        if answer[0] == b'+' { Ok(text) } else { Err(text) }
    }

    /// All that it has printed and logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails the test where the BEAM logged a warning, an error or a crash report.
    pub fn assert_quiet(&self) {
        let log = self.log();
        let complaints = ["=ERROR", "=WARNING", "=CRASH", "=SUPERVISOR", "[error]", "[warning]", "[critical]"];
        assert!(!complaints.iter().any(|complaint| log.contains(complaint)), "{} complained:\n{log}", self.name);
    }

    /// Sends a signal, such as `KILL`, `STOP` or `CONT`, to the BEAM.
    pub fn signal(&self, signal: &str) {
        let mut command = match self.place {
            Place::Container => {
                let mut command = Command::new("docker");
                command.args(["kill", "-s", signal, &self.container]);
                command
            }
            Place::Here => {
                let mut command = Command::new("kill");
                command.args([format!("-{signal}"), self.child.id().to_string()]);
                command
            }
        };
        let sent = command.stdout(Stdio::null()).status().expect("a signal can be sent");
        assert!(sent.success(), "signal {signal} was not sent to {}", self.name);
    }
}

impl Drop for Beam {
    fn drop(&mut self) {
        if self.place == Place::Container {
            let mut remove = Command::new("docker");
            let _removed =
                remove.args(["rm", "-f", &self.container]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn in_container(release: Release, container: &str, epmd_port: u16) -> Command {
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--network", "host", "--label", "tiebeam-interop", "--name", container]);
    command.args(["-e", &format!("ERL_EPMD_PORT={epmd_port}"), "-e", "LANG=C.UTF-8"]);
    let files = crate::files();
    command.args(["-v", &format!("{0}:{0}:ro", files.display())]);
    command.args(["-v", &format!("{}:/beam:ro", sources().display())]);
    if let Some(horde) = release.horde() {
        command.args(["-v", &format!("{}:{HORDE}:ro", horde.display())]);
    }
    command.args([&release.image(), "erl"]);
    command
}

/// Where a container finds Horde.
const HORDE: &str = "/horde";

/// Where the Erlang sides of the scenarios are.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("beam")
}

fn collect(stream: Option<impl Read + Send + 'static>, log: &Arc<Mutex<String>>) {
    let stream = stream.expect("the stream is piped");
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}

fn accept(listener: &TcpListener, child: &mut Child, log: &Mutex<String>) -> TcpStream {
    listener.set_nonblocking(true).expect("a listener can be polled");
    let last = Instant::now() + START_WITHIN;
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("a socket can block");
            stream.set_nodelay(true).expect("a TCP socket");
            stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("a TCP socket");
            return stream;
        }
        let ended = child.try_wait().ok().flatten();
        let log = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(ended.is_none(), "the BEAM ended before it was up: {ended:?}\n{}", log());
        assert!(Instant::now() < last, "the BEAM did not come up:\n{}", log());
        std::thread::sleep(Duration::from_millis(10));
    }
}
