//! The sample captured with other ways in beside the recovery identity: a passphrase, and the SSH key that its administrator has.
//!
//! It is a stick of its own: deriving a key from a passphrase takes a minute in an emulated machine, which the other scenarios should not
//! pay for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use assert_cmd::Command;

use crate::capture::{Captured, Source, kept, write};
use crate::sample::Sample;
use crate::{census, place};

/// What opens the sample's backup, typed at the machine.
pub const PASSPHRASE: &str = "correct horse battery staple";
/// The only snapshot.
pub const ONLY: u64 = 1;
const FOLDER: &str = "vm-state/other-keys";
const SSH_KEY: &str = "admin";
const LIMIT: Duration = Duration::from_secs(120);

/// The sample, captured once.
///
/// # Errors
/// When the capture fails, or warns.
pub fn captured() -> anyhow::Result<Captured> {
    kept(FOLDER, capture)
}

/// The SSH private key that opens it.
///
/// # Errors
/// When its folder cannot be made.
pub fn ssh_key() -> anyhow::Result<PathBuf> {
    Ok(place::folder(FOLDER)?.join(SSH_KEY))
}

fn capture(sample: &Sample, folder: &Path) -> anyhow::Result<Captured> {
    let public = new_ssh_key()?;
    let mut source = Source::start(sample, folder, "capture-other-keys")?;
    write(&folder.join("census-1"), &census::take(source.machine())?)?;
    let file = "/run/lifeboat-passphrase";
    source.machine().output(&format!("umask 077; echo '{PASSPHRASE}' >{file}"), LIMIT)?;
    let took = source.create_with(&format!("--passphrase-file {file} --recipient '{public}'"), |_| ())?;
    eprintln!("    stick and snapshot with other keys in {} s", took.as_secs());
    source.die(folder)
}

/// Makes the key and gives its public half.
fn new_ssh_key() -> anyhow::Result<String> {
    let file = ssh_key()?;
    let _ = std::fs::remove_file(&file);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(&file)
        .timeout(LIMIT)
        .output()?;
    ensure!(made.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&made.stderr));
    let public = file.with_extension("pub");
    let line = std::fs::read_to_string(&public).with_context(|| format!("reading {}", public.display()))?;
    Ok(line.trim().to_owned())
}
