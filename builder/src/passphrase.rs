//! Passphrases: asked for on the terminal without echo, or read from a file. Never from the command line, where others could see them.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::key::Passphrase;
use crate::exit::{Exit, refusal};

/// Names a file with the passphrase of an identity that is read, for scripts.
const FILE_VARIABLE: &str = "LIFEBOAT_PASSPHRASE_FILE";
/// What is shorter is guessed by whoever finds the stick: it lies on it, and guessing costs half a second a word.
const SHORTEST: usize = 12;

/// A new passphrase: from the file named, or typed twice.
///
/// # Errors
/// When it is too short (2), the two differ (2), or there is no terminal (31).
pub fn new(from: &Passphrase) -> anyhow::Result<String> {
    let passphrase = match &from.passphrase_file {
        Some(file) => from_file(file)?,
        None => {
            let first = ask("New passphrase: ")?;
            if first != ask("The same again: ")? {
                return Err(refusal(Exit::Usage, "the two passphrases differ; nothing was done"));
            }
            first
        }
    };
    if passphrase.chars().count() < SHORTEST {
        let message = format!(
            "a passphrase of fewer than {SHORTEST} characters is refused: its identity lies in the vault, for whoever finds it to guess at"
        );
        return Err(refusal(Exit::Usage, message));
    }
    Ok(passphrase)
}

/// The passphrase of an identity that is to be read.
///
/// # Errors
/// When the file that the environment names cannot be read, or there is no terminal (31).
pub fn known(of: &str) -> anyhow::Result<String> {
    match std::env::var_os(FILE_VARIABLE) {
        Some(file) => from_file(Path::new(&file)),
        None => ask(&format!("Passphrase of {of}: ")),
    }
}

/// The first line of a file.
fn from_file(path: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading the passphrase in {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        let message = format!(
            "no terminal to ask for the passphrase on; give it in a file ({FILE_VARIABLE} or --passphrase-file)"
        );
        refusal(Exit::Approval, message)
    })?;
    // Silent before the prompt is there: whoever answers it answers unseen.
    let silence = Silence::on(&terminal)?;
    (&terminal).write_all(prompt.as_bytes())?;
    let mut line = String::new();
    BufReader::new(&terminal).read_line(&mut line)?;
    drop(silence);
    (&terminal).write_all(b"\n")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn on(terminal: &'a File) -> anyhow::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Now, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // Best effort: the terminal is gone or it is ours.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
