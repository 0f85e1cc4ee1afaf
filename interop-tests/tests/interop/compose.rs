//! The compose file from nothing: its members agree, the README's session is what iex says, and every fault heals.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use interop_tests::unique;

/// The services that are members; `one` is the node one@one.cluster.
const MEMBERS: [&str; 3] = ["one", "two", "rust"];

/// How long the cluster may take to form, and to form again: ticks, back-offs and DNS included.
const WITHIN: Duration = Duration::from_secs(120);

/// A few seconds, so that silent nodes are soon given up.
const TICKTIME: &str = "8";

/// A project of its own; dropping it takes everything down.
struct Project {
    name: String,
}

/// What a command printed.
struct Output {
    ok: bool,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn quietly(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Output { ok: output.status.success(), text }
}

fn docker(args: &[&str]) -> String {
    let output = run(Command::new("docker").args(args));
    assert!(output.ok, "docker {args:?}: {}", output.text);
    output.text
}

/// Compose, v2 or v1; `None` where there is none, or no engine.
fn compose() -> Option<Vec<&'static str>> {
    if !quietly("docker", &["info"]) {
        return None;
    }
    let v2 = quietly("docker", &["compose", "version"]);
    let v1 = quietly("docker-compose", &["version"]);
    if v2 { Some(vec!["docker", "compose"]) } else { v1.then(|| vec!["docker-compose"]) }
}

fn is_here(scenario: &str) -> bool {
    if !interop_tests::is_long_run(&format!("compose::{scenario}")) {
        return false;
    }
    let is_here = compose().is_some();
    if !is_here {
        println!("SKIPPED compose::{scenario}: no Docker engine, or neither docker compose nor docker-compose");
    }
    is_here
}

impl Project {
    fn new() -> Self {
        let id = unique("run").replace(['@', '.'], "-");
        Self { name: format!("tiebeam-{id}") }
    }

    fn command(&self, args: &[&str]) -> Command {
        let program = compose().expect("the scenario asked for it");
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(["--project-name", &self.name]);
        command.args(args).current_dir(root()).env("NET_TICKTIME", TICKTIME);
        command
    }

    fn compose(&self, args: &[&str]) -> String {
        let output = run(&mut self.command(args));
        assert!(output.ok, "compose {args:?}: {}", output.text);
        output.text
    }

    fn container(&self, service: &str) -> String {
        let id = self.compose(&["ps", "-q", service]);
        assert!(!id.trim().is_empty(), "{service} has no container");
        id.trim().to_owned()
    }

    fn network(&self) -> String {
        format!("{}_cluster", self.name)
    }

    /// A one-shot of the program's own image in the cluster's network.
    fn ask(&self, args: &[&str]) -> Output {
        let secret = format!("{}:/run/secrets/cookie:ro", root().join("docker/cookie").display());
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--network", &self.network(), "--label", "tiebeam-interop", "-v", &secret]);
        run(command.arg("tiebeam").args(args))
    }

    /// What a member knows of the cluster: members, itself included, and names; or why it does not say.
    fn view(&self, service: &str) -> String {
        let node = format!("{service}@{service}.cluster");
        let nodes = self.ask(&["rpc", &node, "erlang:nodes()"]).text;
        let names = self.ask(&["rpc", &node, "global:registered_names()"]).text;
        let sorted = |text: &str, own: Option<&str>| {
            let text = text.trim().trim_matches(['[', ']']).replace(['\'', ' '], "");
            let mut parts: Vec<&str> = text.split(',').chain(own).filter(|part| !part.is_empty()).collect();
            parts.sort_unstable();
            parts.join(" ")
        };
        format!("{} | {}", sorted(&nodes, Some(&node)), sorted(&names, None))
    }

    /// Waits until these members see exactly each other, and the names that they and nobody else have registered.
    fn agree(&self, members: &[&str]) {
        let mut nodes: Vec<String> = members.iter().map(|name| format!("{name}@{name}.cluster")).collect();
        let mut names: Vec<&str> = members.iter().copied().filter(|name| *name != "rust").collect();
        nodes.sort_unstable();
        names.sort_unstable();
        let expected = format!("{} | {}", nodes.join(" "), names.join(" "));
        for service in members {
            self.wait_for(&expected, || self.view(service));
        }
    }

    fn wait_for(&self, expected: &str, look: impl Fn() -> String) {
        let last = Instant::now() + WITHIN;
        loop {
            let seen = look();
            if seen == expected {
                return;
            }
            assert!(Instant::now() < last, "still\n{seen}\nnot\n{expected}\n{}", self.compose(&["logs"]));
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // A paused container cannot be stopped.
        let _unpaused = run(&mut self.command(&["unpause"]));
        let down = run(&mut self.command(&[
            "--profile",
            "horde",
            "--profile",
            "tools",
            "down",
            "--volumes",
            "--timeout",
            "2",
        ]));
        if !std::thread::panicking() {
            assert!(down.ok, "{}", down.text);
            let label = format!("label=com.docker.compose.project={}", self.name);
            assert_eq!(docker(&["ps", "-aq", "--filter", &label]), "");
            assert_eq!(docker(&["network", "ls", "-q", "--filter", &label]), "");
        }
    }
}

/// What a session shows: each line that somebody types, and what is answered.
fn parse(session: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in session.lines() {
        let typed = line.starts_with("iex(").then(|| line.split_once("> ")).flatten();
        match (typed, pairs.last_mut()) {
            (Some((_, typed)), _) => pairs.push((typed.trim().to_owned(), String::new())),
            (None, Some((_, answer))) => answer.push_str(line.trim_end()),
            (None, None) => {}
        }
    }
    pairs
}

/// The sessions that a document shows, each behind the command that starts it.
fn sessions(document: &str) -> Vec<Vec<(String, String)>> {
    let text = std::fs::read_to_string(root().join(document)).expect("the document is here");
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| Some(parse(block.split_once("$ docker compose run --rm iex\n")?.1))).collect()
}

/// Types a session into the iex of the compose file, at a terminal; returns it as the screen showed it.
fn typed(project: &Project, session: &[(String, String)]) -> Vec<(String, String)> {
    let program = compose().expect("the scenario asked for it").join(" ");
    // Wide enough for no line to be broken.
    let iex = format!("stty cols 300; exec {program} --project-name {} run --rm iex", project.name);
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &iex, "/dev/null"]).current_dir(root());
    command.env("TERM", "dumb").env("NET_TICKTIME", TICKTIME);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = piped.spawn().expect("script, of every Debian, runs");
    let mut keyboard = child.stdin.take().expect("piped");
    let screen = Arc::new(Mutex::new(String::new()));
    let (mut stdout, shown) = (child.stdout.take().expect("piped"), Arc::clone(&screen));
    let reader = std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(len @ 1..) = stdout.read(&mut chunk) {
            let text = String::from_utf8_lossy(&chunk[..len]).replace('\r', "");
            shown.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    });
    let seen = || screen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lines = session.iter().map(|(line, _)| format!("{line}\n"));
    // In the end Ctrl-\, which leaves iex.
    for (n, line) in (1..).zip(lines.chain(["\u{1c}".to_owned()])) {
        let (prompt, last) = (format!("iex(one@one.cluster){n}>"), Instant::now() + WITHIN);
        while !seen().contains(&prompt) {
            assert!(Instant::now() < last, "no {prompt} in\n{}", seen());
            std::thread::sleep(Duration::from_millis(50));
        }
        keyboard.write_all(line.as_bytes()).expect("iex reads");
    }
    child.wait().expect("iex ends");
    reader.join().expect("the screen is read");
    let mut pairs = parse(&seen());
    pairs.truncate(session.len());
    pairs
}

/// Cargo refuses a manifest that names what is not there.
#[test]
fn the_images_get_all_that_the_manifest_names() {
    let read = |file: &str| std::fs::read_to_string(root().join(file));
    let Ok(ignored) = read(".dockerignore") else {
        return println!("SKIPPED compose::the_images_get_all_that_the_manifest_names: the recipes are not here");
    };
    let manifest = read("Cargo.toml").expect("the manifest is here");
    for (section, folder) in [("[[bench]]", "benches"), ("[[example]]", "examples")] {
        assert!(manifest.contains(section), "no {section} any more: {folder} need not be copied");
        assert!(ignored.lines().any(|line| line == format!("!{folder}")), "builds do not see {folder}");
        for recipe in ["Dockerfile", "interop-tests/Dockerfile"] {
            let text = read(recipe).expect("the recipe is here");
            let (copied, built) = (text.find(&format!("COPY {folder} {folder}\n")), text.find("cargo build"));
            assert!(copied.is_some() && copied < built, "{recipe} does not copy {folder} before it builds");
        }
    }
}

#[test]
fn three_members_stand_and_the_session_of_the_readme_is_what_iex_says() {
    if !is_here("three_members_stand_and_the_session_of_the_readme_is_what_iex_says") {
        return;
    }
    let (project, started) = (Project::new(), Instant::now());
    project.compose(&["build", "one", "two", "rust"]);
    println!("images after {:?}", started.elapsed());
    let started = Instant::now();
    project.compose(&["up", "-d"]);
    project.agree(&MEMBERS);
    println!("members agree {:?} after `up`", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(60), "took {:?}", started.elapsed());
    // Each says so in its log.
    for service in MEMBERS {
        let (others, log) = ("one@one.cluster, rust@rust.cluster, two@two.cluster", ["logs", "--no-color", service]);
        let says = || format!("{}", project.compose(&log).contains(others));
        project.wait_for("true", says);
    }
    let shown: Vec<_> = ["README.md", "docker/README.md"].into_iter().flat_map(sessions).collect();
    assert!(!shown.is_empty(), "no document shows a session");
    for session in shown {
        assert_eq!(typed(&project, &session), session);
    }
}

#[test]
fn every_member_is_killed_paused_and_cut_off_and_the_cluster_heals() {
    if !is_here("every_member_is_killed_paused_and_cut_off_and_the_cluster_heals") {
        return;
    }
    let (project, started) = (Project::new(), Instant::now());
    project.compose(&["up", "-d", "--build"]);
    project.agree(&MEMBERS);
    for victim in MEMBERS {
        let (container, network, alias) = (project.container(victim), project.network(), format!("{victim}.cluster"));
        let others: Vec<&str> = MEMBERS.into_iter().filter(|member| *member != victim).collect();
        let faults: [(&[&str], &[&str]); 3] = [
            (&["kill", &container], &["start", &container]),
            (&["pause", &container], &["unpause", &container]),
            (
                &["network", "disconnect", &network, &container],
                &["network", "connect", "--alias", &alias, &network, &container],
            ),
        ];
        for (fault, remedy) in faults {
            docker(fault);
            project.agree(&others);
            docker(remedy);
            project.agree(&MEMBERS);
            println!("{victim} survived {} at {:?}", fault[..fault.len() - 1].join(" "), started.elapsed());
        }
    }
}

#[test]
fn the_scenarios_pass_in_a_container() {
    if !is_here("the_scenarios_pass_in_a_container") {
        return;
    }
    let (project, started) = (Project::new(), Instant::now());
    project.compose(&["build", "interop"]);
    println!("image after {:?}", started.elapsed());
    let said = project.compose(&["run", "--rm", "-T", "interop", "--test-threads", "2", "otp27::"]);
    let result = said.lines().find(|line| line.starts_with("test result: ")).expect("a result");
    println!("{result} after {:?}", started.elapsed());
}

/// Nobody but the Horde is asked: what the scenario sees is what any member says.
#[test]
fn the_horde_profile_moves_its_workers() {
    let scenario = "the_horde_profile_moves_its_workers";
    let given = std::env::var_os("TIEBEAM_HORDE_EBIN").is_some();
    if !is_here(scenario) {
        return;
    }
    if !given {
        return println!("SKIPPED compose::{scenario}: TIEBEAM_HORDE_EBIN names no compiled applications");
    }
    let (project, started) = (Project::new(), Instant::now());
    let services = ["hive-one", "hive-two", "hive-rust"];
    project.compose(&[&["--profile", "horde", "up", "-d", "--build"], &services[..]].concat());
    let ask = |service: &str, call: &str| project.ask(&["rpc", &format!("hive@{service}.cluster"), call]).text;
    let workers_on = |service: &str| ask(service, "Hive.where()").matches("{:worker, ").count().to_string();
    let connected = |service: &str| ask(service, "erlang:nodes()").matches("hive@").count().to_string();
    for service in services {
        project.wait_for("2", || connected(service));
    }
    ask("hive-one", "Hive.start(6)");
    project.wait_for("6", || workers_on("hive-one"));
    project.wait_for("6", || workers_on("hive-two"));
    // The Rust member knows them as well.
    let node = "hive@hive-rust.cluster";
    let listed = || project.ask(&["horde", node, "Hive.Registry", "list"]).text.matches("=>").count().to_string();
    project.wait_for("6", listed);
    assert_eq!(ask("hive-one", "Hive.bump(3)").trim(), "1");
    // A note of one member is in the other's map.
    ask("hive-one", "Hive.note(:k, 1)");
    project.wait_for("%{k: 1}", || ask("hive-two", "Hive.notes()").trim().to_owned());
    // Workers of a killed member move to the other one.
    let victim = project.compose(&["--profile", "horde", "ps", "-q", "hive-two"]);
    docker(&["kill", victim.trim()]);
    let alive = || {
        let places = ask("hive-one", "Hive.where()");
        places.matches("hive@hive-one.cluster").count().to_string()
    };
    project.wait_for("6", alive);
    project.wait_for("6", listed);
    println!("workers moved after {:?}", started.elapsed());
}
