//! The arrow test: modules use only what is below them, and below the line nobody does I/O.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first. Modules of one layer do not use each other.
const LAYERS: &[&[&str]] = &[
    &["term"],
    &["etf"],
    &["serde", "text", "signal", "dflags", "phash2"],
    &["epmd", "handshake", "dist", "crdt"],
    &["process"],
    &["net"],
    &["node"],
    &["io", "gen_server"],
    &["rpc"],
    &["supervisor"],
    &["pg", "global"],
    &["delta_crdt", "pubsub"],
    &["standard"],
    &["horde", "cluster", "metrics"],
    &["demo"],
    &["builder"],
    &["cli"],
];

/// The highest layer that knows no socket, no clock and no randomness.
const PURE: &str = "crdt";

#[test]
fn arrows_point_down() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        let Some(own) = layer(&module) else {
            wrong.push(format!("{}: module {module} is in no layer", path.display()));
            continue;
        };
        for used in imports(&text) {
            match layer(&used) {
                Some(other) if other < own || used == module => {}
                Some(_) => wrong.push(format!("{}: {module} uses {used}", path.display())),
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point up or across:\n{}", wrong.join("\n"));
}

#[test]
fn below_the_line_nobody_does_io_or_asks_the_time() {
    let words = ["tokio", "std::net", "Instant::now", "SystemTime::now", "getrandom", "std::fs", "std::thread::sleep"];
    let line = layer(PURE).expect("the line is a layer");
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        if layer(&module).is_some_and(|own| own <= line) {
            let code = without_tests(&text);
            let found = words.iter().filter(|word| code.lines().any(|line| !is_comment(line) && line.contains(**word)));
            // EPMD's messages carry addresses, which do nothing.
            wrong.extend(
                found
                    .filter(|word| !(**word == "std::net" && module == "epmd"))
                    .map(|word| format!("{}: {word}", path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_and_each_says_its_job() {
    let mut wrong = Vec::new();
    for (_, path, text) in sources() {
        let lines = without_tests(&text).lines().count();
        if lines > 600 {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{}: its first line does not say what it is for", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every file of the library below a module, with the module it belongs to; tests and the entry points of fuzzers,
/// which drive several modules at once, left out.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut files = BTreeMap::new();
    collect(&root, &mut files);
    let module_of = |path: &Path| {
        let below = path.strip_prefix(&root).ok()?;
        let first = below.components().next()?.as_os_str().to_str()?;
        Some(first.trim_end_matches(".rs").to_owned())
    };
    files
        .into_iter()
        .filter_map(|(path, text)| Some((module_of(&path)?, path, text)))
        .filter(|(module, path, _)| {
            !matches!(module.as_str(), "lib" | "main") && !path.ends_with("tests.rs") && !path.ends_with("fuzz.rs")
        })
        .collect()
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("the sources are here").map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path.clone(), fs::read_to_string(&path).expect("a text file"));
        }
    }
}

/// The modules that a file imports from the crate, wherever it does.
fn imports(text: &str) -> Vec<String> {
    let code = without_tests(text);
    let lines = code.lines().filter(|line| !is_comment(line));
    let mut used = Vec::new();
    for line in lines {
        for (at, _) in line.match_indices("crate::") {
            // `$crate::` is a macro's way to its own crate, wherever it is used.
            if line[..at].ends_with('$') {
                continue;
            }
            let rest = &line[at + "crate::".len()..];
            let name: String =
                rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_' || c.is_ascii_digit()).collect();
            if rest.starts_with('{') {
                used.extend(rest.trim_start_matches('{').split(['{', ',']).map(|part| part.trim().to_owned()));
            } else if !name.is_empty() {
                used.push(name);
            }
        }
    }
    used
}

fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}
