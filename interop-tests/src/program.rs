//! The `tiebeam` program: a node of it, and its one-shots.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::COOKIE;

/// A running `tiebeam node`. Dropping it kills it.
#[derive(Debug)]
pub struct Tiebeam {
    name: String,
    child: Child,
    /// The line that said it is ready.
    pub ready: String,
    log: Arc<Mutex<String>>,
    /// Kept open, so that what it prints later has somewhere to go.
    _stdout: BufReader<std::process::ChildStdout>,
}

/// How a one-shot ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Tiebeam {
    /// Starts a node with the demo services.
    pub fn demo(name: &str, epmd_port: u16) -> Self {
        Self::start(name, epmd_port, &["--demo"])
    }

    /// Starts a node with these further arguments.
    pub fn start(name: &str, epmd_port: u16, args: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["node", "--name", name]).args(args).env("TIEBEAM_COOKIE", COOKIE);
        command.env("ERL_EPMD_PORT", epmd_port.to_string()).env("RUST_LOG", "tiebeam=debug");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, kept) = (child.stderr.take().expect("piped"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("the node says that it is ready");
        let said = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(ready.contains("ready"), "{name} did not start: {ready}{}", said());
        Self { name: name.into(), child, ready, log, _stdout: stdout }
    }

    /// Its node name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its node name as Erlang writes the atom.
    pub fn atom(&self) -> String {
        format!("'{}'", self.name)
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a signal, such as `KILL`, `STOP` or `TERM`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "signal {signal} was not sent to {}", self.name);
    }

    /// Waits for its end and returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("a child can be waited for").code()
    }

    /// The most that it ever held, in bytes.
    pub fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).expect("it runs");
        let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
        pages * 4096
    }
}

impl Drop for Tiebeam {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of {}:\n{}", self.name, self.log());
        }
    }
}

/// Runs a one-shot of the program.
pub fn run(epmd_port: u16, args: &[&str]) -> Finished {
    run_with_input(epmd_port, args, "")
}

/// Runs a one-shot of the program with something on its standard input.
pub fn run_with_input(epmd_port: u16, args: &[&str], input: &str) -> Finished {
    let mut command = Command::new(binary());
    command.args(args).env("ERL_EPMD_PORT", epmd_port.to_string()).env("TIEBEAM_COOKIE", COOKIE).env_remove("RUST_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("a short input");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Finished { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A one-shot that runs until it is dropped, and what it prints as it does.
#[derive(Debug)]
pub struct Follow {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

/// Starts a one-shot that goes on, such as `watch`.
pub fn follow(epmd_port: u16, args: &[&str]) -> Follow {
    let mut command = Command::new(binary());
    command.args(args).env("ERL_EPMD_PORT", epmd_port.to_string()).env("TIEBEAM_COOKIE", COOKIE).env_remove("RUST_LOG");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let (stdout, (line, lines)) = (child.stdout.take().expect("piped"), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        let mut printed = BufReader::new(stdout).lines().map_while(Result::ok);
        while printed.next().is_some_and(|printed| line.send(printed).is_ok()) {}
    });
    Follow { child, lines }
}

impl Follow {
    /// The next line that it prints, within a minute.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(std::time::Duration::from_secs(60)).expect("another line")
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The program of this workspace, beside the test's own file; built first where it is missing.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("TIEBEAM_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().expect("a test has a file");
        let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
        let path = profile.join("tiebeam");
        if !path.exists() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--package", "tiebeam", "--bin", "tiebeam"]);
            let built = build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status();
            assert!(built.is_ok_and(|status| status.success()), "the program does not build");
        }
        path
    })
}
