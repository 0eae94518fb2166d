//! `lifeboat guests hook`: what vzdump calls (`--script`) at every phase of a job. When an archive is final, at `log-end`, it is read to its end,
//! and its digest is signed and laid beside it; the next backup of the host then knows it. Nothing is asked of the phases before.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use guests::archive;
use guests::proxmox::names::Name;
use manifest::sign_sums;

use crate::capture::guests::digests::Digests;
use crate::cli::GuestsHook;
use crate::commands::Context;
use crate::exit::{Exit, refusal};

/// What the names of a list of sums and of its signature end with.
const SUMS: &str = ".sha256";
const SIGNATURE: &str = ".sha256.sig";

pub(super) fn run(context: &Context, args: &GuestsHook) -> anyhow::Result<Exit> {
    if args.phase != "log-end" {
        return Ok(Exit::Done);
    }
    // A backup server is told no file; what lies there has sums of its own.
    let Some(target) = std::env::var_os("TARGET").or_else(|| std::env::var_os("TARFILE")).map(PathBuf::from) else {
        return Ok(Exit::Done);
    };
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !matches!(name.parse(), Ok(Name::Archive(_))) {
        let message = format!("{} has no name of a finished archive; nothing was signed", target.display());
        return Err(refusal(Exit::Usage, message));
    }
    check(&target)?;
    let mut digests = Digests::open(context.state.folder());
    let digest = digests.of(&target).with_context(|| format!("reading {}", target.display()))?;
    digests.close();
    let sums = format!("{digest}  {name}\n");
    let signature = sign_sums(&context.state.host_key()?, sums.as_bytes())?;
    put(&beside(&target, SUMS), sums.as_bytes())?;
    put(&beside(&target, SIGNATURE), signature.as_bytes())?;
    remove_widows(&target);
    println!("lifeboat: {name} is sound; its digest is signed");
    Ok(Exit::Done)
}

/// Reads the archive to its end.
fn check(target: &Path) -> anyhow::Result<()> {
    let doing = || format!("reading {}", target.display());
    let report = archive::verify(File::open(target).with_context(doing)?);
    let faults = match report {
        Ok(report) if report.sound() => return Ok(()),
        Ok(report) => report.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Err(error) => return Err(error).with_context(doing),
    };
    Err(refusal(Exit::Corrupt, format!("{} is damaged: {faults}; it was not signed", target.display())))
}

fn beside(target: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(target.as_os_str());
    name.push(end);
    name.into()
}

/// Writes a small file whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let doing = || format!("writing {}", path.display());
    let new = beside(path, ".new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new).with_context(doing)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(doing)?;
    fs::rename(&new, path).with_context(doing)
}

/// Removes lists of sums whose archives were pruned: vzdump knows nothing of them.
fn remove_widows(target: &Path) {
    let entries = target.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let archive = [SIGNATURE, SUMS].iter().find_map(|end| name.strip_suffix(end));
        let is_own = archive.is_some_and(|archive| matches!(archive.parse(), Ok(Name::Archive(_))));
        let is_widow =
            archive.is_some_and(|archive| path.with_file_name(archive).try_exists().is_ok_and(|there| !there));
        if is_own && is_widow {
            // The next run tries again.
            let _ = fs::remove_file(&path);
        }
    }
}
