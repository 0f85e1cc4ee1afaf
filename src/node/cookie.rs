//! The cookie file: `~/.erlang.cookie`, as every Erlang node of the user shares it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::handshake::{Cookie, CookieError};

/// The cookie file is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieFileError {
    /// `HOME` is not set.
    #[error("no home directory: HOME is not set")]
    NoHome,
    /// Others than its owner may read it.
    #[error("cookie file {path} must be accessible by owner only (its mode is {mode:03o}; chmod 400 helps)")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What it holds is no cookie.
    #[error("cookie file {path}: {error}")]
    BadCookie {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: CookieError,
    },
    /// It cannot be read or made.
    #[error("cookie file {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Where container engines put secrets.
const SECRETS: &str = "/run/secrets";

impl Cookie {
    /// The cookie of `~/.erlang.cookie`; the file is made, with a random cookie, where it is missing.
    ///
    /// # Errors
    /// [`CookieFileError`].
    pub fn from_home() -> Result<Self, CookieFileError> {
        let home = std::env::var_os("HOME").ok_or(CookieFileError::NoHome)?;
        let path = Path::new(&home).join(".erlang.cookie");
        if !path.exists() {
            create(&path).map_err(|error| CookieFileError::Io { path: path.clone(), error })?;
        }
        Self::from_file(&path)
    }

    /// The cookie of a file that nobody but its owner may read; below `/run/secrets`, where only one container sees what
    /// its engine has put there for all users (mode 444), any mode will do.
    ///
    /// # Errors
    /// [`CookieFileError`].
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, CookieFileError> {
        let path = path.into();
        let io = |error| CookieFileError::Io { path: path.clone(), error };
        let mode = fs::metadata(&path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 && !path.starts_with(SECRETS) {
            return Err(CookieFileError::TooOpen { path, mode });
        }
        let text = fs::read_to_string(&path).map_err(io)?;
        // "the first line, without its newline" is the cookie (auth.erl).
        let line = text.lines().next().unwrap_or_default().trim();
        Self::new(line).map_err(|error| CookieFileError::BadCookie { path, error })
    }
}

/// Makes the file as Erlang does: twenty random upper-case letters, readable by the owner only.
fn create(path: &Path) -> io::Result<()> {
    let mut random = [0; 20];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let letters: Vec<u8> = random.iter().map(|byte| b'A' + byte % 26).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)?;
    file.write_all(&letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_file_that_others_may_read_is_refused_with_its_mode() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("cookie");
        create(&path).expect("a new file");
        assert!(Cookie::from_file(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).expect("our own file");
        let error = Cookie::from_file(&path).expect_err("group-readable");
        assert!(error.to_string().contains("440"), "{error}");
    }

    #[test]
    fn the_first_line_is_the_cookie() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("cookie");
        fs::write(&path, "SECRET\nmore").expect("a new file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
        assert!(Cookie::from_file(&path).is_ok());
    }
}
