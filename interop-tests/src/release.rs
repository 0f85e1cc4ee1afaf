//! The OTP releases, and where on this machine each is found.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A release of OTP that scenarios run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// With Elixir 1.14.
    Otp25,
    /// With Elixir 1.18.
    Otp27,
    /// With Elixir 1.20.
    Otp29,
}

/// Where a BEAM of a release runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a container of this project's image.
    Container,
    /// On this machine itself: the `erl` on the PATH is of that release.
    Here,
}

impl Release {
    /// Its number, as `erlang:system_info(otp_release)` tells.
    pub fn number(self) -> &'static str {
        match self {
            Self::Otp25 => "25",
            Self::Otp27 => "27",
            Self::Otp29 => "29",
        }
    }

    pub(crate) fn image(self) -> String {
        format!("tiebeam-beam:{}", self.number())
    }

    pub(crate) fn place(self) -> Option<Place> {
        if has_image(&self.image()) {
            return Some(Place::Container);
        }
        (release_on_path() == Some(self.number())).then_some(Place::Here)
    }

    /// Whether the machine has it; says loudly that `scenario` is skipped where it has not.
    ///
    /// With `TIEBEAM_RELEASES` (such as `25,27,29`) a missing release that is listed there fails the test.
    pub fn is_here(self, scenario: &str) -> bool {
        if self.place().is_some() {
            return true;
        }
        let required = std::env::var("TIEBEAM_RELEASES").unwrap_or_default();
        let is_required = required.split(',').any(|release| release.trim() == self.number());
        assert!(!is_required, "OTP {} is required by TIEBEAM_RELEASES and not on this machine", self.number());
        println!("SKIPPED {scenario}: neither an image {} nor an erl of OTP {}", self.image(), self.number());
        false
    }
}

/// The folder that `TIEBEAM_HORDE_EBIN` names: a sub-folder per release (`25`, `27`, `29`), each of compiled applications
/// (`horde/ebin`, `delta_crdt/ebin`…).
const HORDE: &str = "TIEBEAM_HORDE_EBIN";

impl Release {
    /// Where Horde compiled for this release is.
    pub(crate) fn horde(self) -> Option<PathBuf> {
        let folder = PathBuf::from(std::env::var_os(HORDE)?).join(self.number());
        folder.join("horde/ebin").is_dir().then_some(folder)
    }

    /// Whether Horde compiled for this release is given; says loudly that `scenario` is skipped where it is not.
    pub fn has_horde(self, scenario: &str) -> bool {
        let given = self.horde().is_some();
        if !given {
            println!("SKIPPED {scenario}: {HORDE} names no folder with {}/horde/ebin", self.number());
        }
        given
    }
}

fn has_image(image: &str) -> bool {
    let mut inspect = Command::new("docker");
    inspect.args(["image", "inspect", image]).stdout(Stdio::null()).stderr(Stdio::null());
    inspect.status().is_ok_and(|status| status.success())
}

fn release_on_path() -> Option<&'static str> {
    static RELEASE: OnceLock<Option<String>> = OnceLock::new();
    let found = RELEASE.get_or_init(|| {
        let code = "io:put_chars(erlang:system_info(otp_release)), halt().";
        let output = Command::new("erl").args(["-noinput", "-eval", code]).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    });
    found.as_deref()
}
