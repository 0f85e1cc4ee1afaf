//! `.hosts.erlang`: where it is, and the hosts in it.

use std::path::{Path, PathBuf};

use super::ClusterError;

/// The file's name.
const NAME: &str = ".hosts.erlang";

/// The hosts of this file, or of the first one that `net_adm:host_file/0` would find in the working and the home directory.
pub(super) fn load(file: Option<&Path>) -> Result<Vec<String>, ClusterError> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(NAME));
    let path = match file {
        Some(file) => file.to_owned(),
        None => {
            [Some(PathBuf::from(NAME)), home()].into_iter().flatten().find(|path| path.is_file()).ok_or_else(|| {
                ClusterError::File { path: NAME.into(), why: "in neither the working nor the home directory".into() }
            })?
        }
    };
    let fail = |why: String| ClusterError::File { path: path.clone(), why };
    let text = std::fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
    parse(&text).map_err(|line| fail(format!("line {line} is no host: 'name.of.host'.")))
}

/// The hosts of the file's text, an Erlang atom and a full stop each; the number of the line that is none.
fn parse(text: &str) -> Result<Vec<String>, usize> {
    let mut hosts = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('%').next().unwrap_or_default().trim();
        for host in line.split_inclusive(['.', '\'']).fold(Words::default(), Words::with).ended().ok_or(index + 1)? {
            hosts.push(host);
        }
    }
    Ok(hosts)
}

/// Atoms on a line, each ended by a full stop outside of quotes.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    quoted: bool,
    /// The word was quoted, and has ended.
    closed: bool,
    wrong: bool,
}

impl Words {
    fn with(mut self, piece: &str) -> Self {
        let (text, end) = match piece.char_indices().last() {
            Some((at, end @ ('.' | '\''))) => (&piece[..at], Some(end)),
            _ => (piece, None),
        };
        let text = if self.quoted { text } else { text.trim() };
        self.wrong |= self.closed && !text.is_empty();
        self.word.push_str(text);
        match end {
            Some('\'') => {
                self.wrong |= self.closed || (!self.quoted && !self.word.is_empty());
                self.closed = self.quoted;
                self.quoted = !self.quoted;
            }
            Some(_) if self.quoted => self.word.push('.'),
            Some(_) => {
                let plain = self.word.starts_with(|c: char| c.is_ascii_lowercase())
                    && self.word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@'));
                self.wrong |= self.word.is_empty() || !(self.closed || plain);
                self.done.push(std::mem::take(&mut self.word));
                self.closed = false;
            }
            None => {}
        }
        self
    }

    fn ended(self) -> Option<Vec<String>> {
        (!self.wrong && !self.quoted && !self.closed && self.word.is_empty()).then_some(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_atoms_with_a_full_stop() {
        let text = "'super.eua.ericsson.se'.\n\n% comment\n  renat.  \n'10.0.0.1'. 'a-b'. % two\n";
        assert_eq!(parse(text).unwrap(), ["super.eua.ericsson.se", "renat", "10.0.0.1", "a-b"]);
        assert_eq!(parse("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_none_is_reported_with_its_line() {
        for wrong in ["'a'", "a", "Host.", "'a.", "a b.", "'a''b'.", "1.2.3.4.", ".", "'a'b.", "[a]."] {
            assert_eq!(parse(&format!("'ok'.\n{wrong}\n")), Err(2), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let error = load(Some(Path::new("/nonexistent/hosts"))).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/hosts: "), "{error}");
    }
}
