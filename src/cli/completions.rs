//! `tiebeam completions` and `tiebeam man`: what shells and readers need, made from the command line's own description.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this folder, instead of the first page to stdout.
    folder: Option<PathBuf>,
}

pub(super) fn completions(mut command: Command, args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    // Into memory first: who reads only the beginning of it is no reason to panic.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "tiebeam", &mut text);
    super::output::line(String::from_utf8(text)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(command: Command, args: ManArgs) -> anyhow::Result<ExitCode> {
    match args.folder {
        Some(folder) => {
            std::fs::create_dir_all(&folder)?;
            clap_mangen::generate_to(command, folder)?;
        }
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(command).render(&mut text)?;
            super::output::line(String::from_utf8(text)?.trim_end());
        }
    }
    Ok(ExitCode::SUCCESS)
}
