//! `tiebeam term`: terms between text and bytes, and their hashes.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{Global, output};
use crate::term::Term;
use crate::text::{self, Syntax};
use crate::{etf, phash2};

#[derive(Debug, Args)]
pub(super) struct TermArgs {
    #[command(subcommand)]
    command: TermCommand,
}

#[derive(Debug, Subcommand)]
enum TermCommand {
    /// External term format to text.
    Decode {
        /// Hexadecimal digits, or - for standard input (digits or bytes).
        hex: String,
        /// In which syntax to print.
        #[arg(long, value_enum, default_value_t = Written::Erlang)]
        syntax: Written,
    },
    /// Text to external term format, in hexadecimal digits.
    Encode {
        /// An Erlang or Elixir literal.
        term: String,
        /// In which syntax it is written.
        #[arg(long, value_enum)]
        syntax: Option<Written>,
    },
    /// Both of erlang:phash2's: the default range, and 2^32.
    #[command(group(ArgGroup::new("what").required(true).args(["term", "hex"])))]
    Phash2 {
        /// An Erlang or Elixir literal.
        term: Option<String>,
        /// The term in external term format.
        #[arg(long)]
        hex: Option<String>,
        /// In which syntax the literal is written.
        #[arg(long, value_enum)]
        syntax: Option<Written>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Written {
    Erlang,
    Elixir,
}

impl From<Written> for Syntax {
    fn from(written: Written) -> Self {
        match written {
            Written::Erlang => Self::Erlang,
            Written::Elixir => Self::Elixir,
        }
    }
}

pub(super) fn run(global: &Global, args: TermArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        TermCommand::Decode { hex, syntax } => {
            let shown = text::print(&decoded(&hex)?, syntax.into());
            say(global, "term", &shown);
        }
        TermCommand::Encode { term, syntax } => {
            let (term, _) = text::parse(&term, syntax.map_or(Syntax::Auto, Syntax::from))?;
            say(global, "hex", &hex_of(&etf::encode(&term)?));
        }
        TermCommand::Phash2 { term, hex, syntax } => {
            let term = match (term, hex) {
                (Some(term), _) => text::parse(&term, syntax.map_or(Syntax::Auto, Syntax::from))?.0,
                (None, hex) => decoded(&hex.unwrap_or_default())?,
            };
            let (default, whole) = (phash2::phash2(&term), phash2::hash32(&term));
            if global.json {
                output::line(&output::object([("phash2", default.into()), ("phash2_32", whole.into())]));
            } else {
                output::line(&format!("{default} (of 2^27), {whole} (of 2^32)"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(global: &Global, key: &str, value: &str) {
    if global.json {
        output::line(&output::object([(key, value.into())]));
    } else {
        output::line(value);
    }
}

/// The term of hexadecimal digits, or of what standard input holds: digits, or the bytes themselves.
fn decoded(hex: &str) -> anyhow::Result<Term> {
    let bytes = if hex == "-" {
        let mut input = Vec::new();
        std::io::stdin().read_to_end(&mut input)?;
        match std::str::from_utf8(&input).ok().and_then(bytes_of) {
            Some(bytes) => bytes,
            None => input,
        }
    } else {
        bytes_of(hex).with_context(|| format!("{hex:?} are no hexadecimal digits"))?
    };
    Ok(etf::decode(&Bytes::from(bytes))?)
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if digits.is_empty() || digits.len() % 2 != 0 {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks_exact(2).map(byte).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
