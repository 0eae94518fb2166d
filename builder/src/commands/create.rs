//! `lifeboat create`: a bootable stick on a device or in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use layout::Guid;
use manifest::{HostKey, Serial};
use serde::Serialize;
use vault::{FolderStore, Vault};

use crate::cli::{Create, Reading};
use crate::commands::{Context, backup, init};
use crate::exit::{Exit, exit_of, refusal};
use crate::feed;
use crate::hooks::Hooks;
use crate::identity::Recovered;
use crate::medium::{self, Stick, VAULT_FOLDER};
use crate::reading::Opened;
use crate::snapshot;
use crate::state::KnownStick;
use crate::stick::{self, Claims, Owner, Prepared, Target};
use crate::{description, recovery};

const IDENTITY_FILE: &str = "lifeboat-identity.txt";

#[derive(Serialize)]
struct Report {
    schema: u32,
    target: PathBuf,
    stick: Guid,
    vault: String,
    fingerprint: String,
    recipients: Vec<String>,
    kernel: String,
    notes: Vec<String>,
    seconds: f64,
}

/// Runs the command.
///
/// # Errors
/// When the target may not be overwritten (30), consent is missing (31), something to carry is missing, or writing fails.
pub fn run(context: &Context, args: &Create) -> anyhow::Result<Exit> {
    let began = std::time::Instant::now();
    let claims = Claims {
        size: args.size,
        overwrite: args.overwrite,
        serial: args.serial.as_deref(),
        fixed_disk: args.fixed_disk.as_deref(),
    };
    let rescue = stick::rescue_program(args.rescue.as_deref())?;
    let guid = stick::new_guid()?;
    if args.dry_run {
        return preview(context, args, &rescue, &guid);
    }
    init::consent(args.yes, &format!("make a stick on {}, and lose what is there?", args.target.display()))?;
    let target = Target::clear(&args.target, &claims)?;
    eprintln!("making a stick on {}", target.name);
    let made = make(context, args, &target, &rescue, &guid);
    if made.is_err() && target.is_new {
        // Ours from the start and worthless now; what was there before is never removed.
        let _ = fs::remove_file(&target.path);
    }
    let (report, exit) = made?;
    context.print(&Report { seconds: began.elapsed().as_secs_f64(), ..report }, || text(&args.target))?;
    Ok(exit)
}

fn make(
    context: &Context,
    args: &Create,
    target: &Target,
    rescue: &Path,
    guid: &Guid,
) -> anyhow::Result<(Report, Exit)> {
    let compression = stick::compression(context, args.compress);
    let prepared = stick::prepare(&args.root, rescue, compression, target.size, guid)?;
    eprintln!("{}", prepared.sizes.trim_end());
    for note in prepared.words() {
        eprintln!("note: {note}");
    }
    let host_name = context.config.host_name()?;
    let key = context.state.host_key_or_new(&host_name)?;
    let recovered = Recovered::gather(&args.recovery, Some(Path::new(IDENTITY_FILE)))?;
    let staging = tempfile::tempdir().context("making a temporary folder")?;
    let vault_folder = staging.path().join(VAULT_FOLDER);
    fs::create_dir(&vault_folder)?;
    let store = Arc::new(FolderStore::new(&vault_folder));
    let vault = description::init(&context.state, store, &key, &recovered, &vault::InitOptions::new(Vec::new()))?
        .named(medium::stick_place(guid));
    recovery::put(staging.path(), &context.state.exported(&host_name)?)?;
    // A file's snapshot is captured into the staging folder: its data partition is never mounted.
    let staged = wants_backup(args) && !target.is_device;
    let mut exit = if prepared.notes.is_empty() { Exit::Done } else { Exit::Warnings };
    if staged {
        exit = worse(exit, capture(context, args, &vault, Vec::new())?);
    }
    write(context, target, &prepared, &vault, &key, guid, staging.path())?;
    context.state.set_stick(&KnownStick {
        guid: guid.clone(),
        target: absolute(&target.path),
        vault: vault.id().parse()?,
    })?;
    if wants_backup(args) && target.is_device {
        exit = worse(exit, capture_onto(context, args, target)?);
    }
    read_back(context, &args.target)?;
    eprint!("{}", recovered.notice());
    let report = Report {
        schema: 1,
        target: target.path.clone(),
        stick: guid.clone(),
        vault: vault.id().to_owned(),
        fingerprint: key.public().fingerprint(),
        recipients: recovered.recipients(),
        kernel: prepared.kernel().to_owned(),
        notes: prepared.notes.clone(),
        seconds: 0.0,
    };
    Ok((report, exit))
}

fn write(
    context: &Context,
    target: &Target,
    prepared: &Prepared,
    vault: &Vault,
    key: &HostKey,
    guid: &Guid,
    staging: &Path,
) -> anyhow::Result<()> {
    let host_name = context.config.host_name()?;
    let owner = Owner {
        stick: guid,
        vault: &vault.id().parse()?,
        host_name: &host_name,
        key,
        signers: &context.state.trusted()?,
        newest: Serial(0),
    };
    snapshot::record(vault, &host_name, key, "create", &format!("stick {guid}"), Exit::Done)?;
    eprintln!("writing");
    prepared.write(target, &owner, staging)?;
    eprintln!("reading back");
    prepared.check(target, &owner)
}

/// Reads the vault back from the medium: it opens, and every snapshot in it is as signed.
fn read_back(context: &Context, target: &Path) -> anyhow::Result<()> {
    let reading = Reading { vault: Some(target.to_owned().into()), signers: None, host: None };
    let opened = Opened::open(context, &reading)?;
    for manifest in opened.chain(context)? {
        if let Some(fault) = opened.vault.check_sealed(&manifest.contents, &())?.into_iter().next() {
            let message = format!(
                "{} reads back as something else than was written: {}; the medium is failing",
                fault.object, fault.what
            );
            return Err(refusal(Exit::Corrupt, message));
        }
    }
    Ok(())
}

fn wants_backup(args: &Create) -> bool {
    args.backup || args.source.is_some()
}

fn capture(
    context: &Context,
    args: &Create,
    vault: &Vault,
    boot_files: Vec<manifest::BootFile>,
) -> anyhow::Result<Exit> {
    let target = absolute(&args.target);
    let hooks = Hooks::new(context, args.target.display().to_string(), false)?;
    let source = args.source.as_deref();
    let subject = || {
        let streams = feed::configured(&context.config, source.is_none()).map_err(anyhow::Error::msg)?;
        let stick = std::slice::from_ref(&target);
        let mut subject = backup::subject(context, source, Path::new("/"), Some(&target), stick, Some(&hooks))?;
        subject.streams.extend(streams);
        Ok(subject)
    };
    let result = snapshot::take(context, vault, &hooks, subject, boot_files);
    let serial = result.as_ref().ok().map(|manifest| manifest.serial.0);
    let ending = hooks.end(serial, result.as_ref().map_or_else(exit_of, snapshot::exit_of));
    eprint!("{}", backup::text(&result?, &ending.problems));
    Ok(ending.exit)
}

fn capture_onto(context: &Context, args: &Create, target: &Target) -> anyhow::Result<Exit> {
    let boot_files = stick::boot_files(target, &context.state.trusted()?)?;
    let stick = Stick::open(context, Some(&target.path))?;
    let exit = capture(context, args, &stick.vault()?, boot_files)?;
    stick.close()?;
    Ok(exit)
}

/// The exit code of two outcomes: a failure before a warning before success.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
        (Exit::Warnings, _) | (_, Exit::Warnings) => Exit::Warnings,
        _ => other,
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn preview(context: &Context, args: &Create, rescue: &Path, guid: &Guid) -> anyhow::Result<Exit> {
    let compression = stick::compression(context, args.compress);
    let prepared = stick::prepare(&args.root, rescue, compression, args.size, guid)?;
    println!(
        "would make a stick on {}: partition table, boot slots A and B with kernel {}, an empty vault",
        args.target.display(),
        prepared.kernel()
    );
    println!("what is on {} now would be lost", args.target.display());
    println!("{}", prepared.sizes.trim_end());
    for note in prepared.words() {
        println!("note: {note}");
    }
    Ok(Exit::Done)
}

fn text(target: &Path) -> String {
    format!("{} is a bootable stick, written and read back", target.display())
}
