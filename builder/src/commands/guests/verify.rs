//! `lifeboat guests verify`: archives of guests, read to their end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context as _;
use guests::archive::{self, Form, Packing, Report};
use guests::proxmox::names::Name;
use layout::Bytes;
use serde::Serialize;
use vault::Progress as _;

use crate::cli::VerifyArchives;
use crate::commands::Context;
use crate::exit::Exit;
use crate::progress::Bar;

/// What is printed as JSON.
#[derive(Serialize)]
struct Verified {
    schema: u32,
    verdict: &'static str,
    archives: Vec<Archive>,
}

#[derive(Serialize)]
struct Archive {
    path: String,
    sound: bool,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(context: &Context, args: &VerifyArchives) -> anyhow::Result<Exit> {
    let archives: Vec<Archive> = args.archives.iter().map(|path| verify(path)).collect::<anyhow::Result<_>>()?;
    let sound = archives.iter().all(|archive| archive.sound);
    let verified = Verified { schema: 1, verdict: if sound { "sound" } else { "damaged" }, archives };
    context.print(&verified, || verified.archives.iter().map(text).collect())?;
    Ok(if sound { Exit::Done } else { Exit::Corrupt })
}

fn verify(path: &Path) -> anyhow::Result<Archive> {
    let doing = || format!("verifying {}", path.display());
    let file = File::open(path).with_context(doing)?;
    let bar = Bar::new("verifying");
    if let Ok(metadata) = file.metadata() {
        bar.expect(metadata.len(), 0);
    }
    let report = archive::verify(Shown { file, bar: &bar });
    bar.finish();
    let mut report = report.with_context(doing)?;
    if let Some(wanted) = named(path).filter(|wanted| *wanted != report.form && report.form != Form::Unknown) {
        let what = format!("by its name it holds {}, but it holds {}", form(wanted), form(report.form));
        report.faults.add("the archive", what);
    }
    Ok(Archive { path: path.display().to_string(), sound: report.sound(), report })
}

/// What the name says that the archive holds, where it says anything.
fn named(path: &Path) -> Option<Form> {
    match path.file_name()?.to_str()?.parse() {
        Ok(Name::Archive(name)) => Some(name.form()),
        _ => None,
    }
}

/// A file that shows how far it was read.
struct Shown<'a> {
    file: File,
    bar: &'a Bar,
}

impl Read for Shown<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bar.advance(read as u64, 0);
        Ok(read)
    }
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Vma => "disks (VMA)",
        Form::Tar => "files (tar)",
        Form::Unknown => "neither VMA nor tar",
    }
}

fn text(archive: &Archive) -> String {
    let Report { form: found, packing, bytes, .. } = &archive.report;
    let verdict = if archive.sound { "sound" } else { "DAMAGED" };
    let packed = match packing {
        Packing::None => "not compressed".to_owned(),
        other => format!("compressed by {other}"),
    };
    let mut text = format!("{}: {verdict}\n    {}, {packed}, {}\n", archive.path, form(*found), Bytes(*bytes));
    for device in &archive.report.devices {
        let missing = if device.missing > 0 { format!(", {} MISSING", Bytes(device.missing)) } else { String::new() };
        text +=
            &format!("    disk {} of {}: {} stored{missing}\n", device.name, Bytes(device.size), Bytes(device.stored));
    }
    if *found == Form::Tar {
        text += &format!("    {} members\n", archive.report.members);
    }
    for config in &archive.report.configs {
        text += &format!("    configuration {config}\n");
    }
    for fault in archive.report.faults.iter() {
        text += &format!("    fault: {fault}\n");
    }
    if archive.report.faults.more() > 0 {
        text += &format!("    and {} more faults\n", archive.report.faults.more());
    }
    if archive.sound && !archive.report.content_sum {
        text +=
            "    note: nothing in this archive has a sum over the content; a bit of it that changed cannot be told\n";
    }
    text
}
