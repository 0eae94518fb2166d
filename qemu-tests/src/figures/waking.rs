//! How long the rescue takes until it is ready, beside the same kernel with a first program that does nothing: once in an initramfs
//! of its own, and once in the rescue's, so that what unpacking costs is seen apart from what the rescue does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use assert_cmd::Command;
use vm::{Bus, Disk, Firmware, Machine, Running};

use super::Figure;
use crate::capture::{Captured, STICK_SERIAL};
use crate::place;
use crate::sample::Sample;

/// What the empty program says.
pub const EMPTY_IS_UP: &str = "empty init: up";
const LIMIT: Duration = Duration::from_secs(300);
const COMMAND_LINE: &str = "lifeboat.slot=a quiet loglevel=3 console=ttyS0,115200";

/// One way of starting the stick's kernel.
struct Start<'a> {
    name: &'a str,
    initrd: &'a Path,
    command_line: String,
}

pub(super) fn measure(
    sample: &Sample,
    captured: &Captured,
    folder: &Path,
    kernel: &[u8],
    initrd: &[u8],
    rounds: usize,
) -> anyhow::Result<Vec<Figure>> {
    let kernel_file = folder.join("vmlinuz");
    fs::write(&kernel_file, kernel)?;
    let empty = archive(folder)?;
    let files = [("empty.img", empty.clone()), ("rescue.img", initrd.to_vec()), ("both.img", joined(initrd, &empty))];
    let mut paths = Vec::new();
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        paths.push(path);
    }
    let start = |name: &'static str, number: usize, more: &str| Start {
        name,
        initrd: &paths[number],
        command_line: format!("{COMMAND_LINE}{more}"),
    };
    let ways =
        [start("empty", 0, " rdinit=/empty-init"), start("rescue", 1, ""), start("unpacked", 2, " rdinit=/empty-init")];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=rounds {
        eprintln!("machines: waking, round {round}");
        for (way, times) in ways.iter().zip(&mut times) {
            times.push(wake(sample, captured, &kernel_file, way)?.as_secs_f64());
        }
    }
    let [empty, rescue, unpacked] = times;
    let figure = |against: &str, other: &[f64], limit| Figure {
        what: "power-on to rescue ready, given the kernel directly".into(),
        unit: "s".into(),
        own: rescue.clone(),
        against: against.into(),
        other: other.to_vec(),
        limit,
    };
    Ok(vec![
        figure("the same kernel, an initramfs with an empty init alone", &empty, Some(1.3)),
        figure("the same kernel and initramfs, an empty init in it", &unpacked, None),
    ])
}

/// One archive behind another. The kernel looks for an archive at every fourth byte.
fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut both = first.to_vec();
    both.resize(both.len().next_multiple_of(4), 0);
    both.extend_from_slice(second);
    both
}

/// An initramfs with the empty program alone.
fn archive(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let root = folder.join("empty");
    fs::create_dir_all(&root)?;
    fs::copy(place::program("empty_init")?, root.join("empty-init")).context("copying the empty program")?;
    let output = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc", "-R", "0:0"])
        .current_dir(&root)
        .write_stdin("empty-init\n")
        .output()?;
    ensure!(output.status.success(), "cpio: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn wake(sample: &Sample, captured: &Captured, kernel: &Path, way: &Start) -> anyhow::Result<Duration> {
    let firmware = Firmware::Kernel {
        kernel: kernel.to_owned(),
        initrd: way.initrd.to_owned(),
        command_line: way.command_line.clone(),
    };
    let mut running = Machine::new(&format!("machines-{}", way.name), place::logs()?, sample.accel)
        .firmware(firmware)
        .disk(Disk::new(&captured.stick, Bus::Usb, STICK_SERIAL).snapshot())
        .start()?;
    if way.name != "rescue" {
        running.expect(EMPTY_IS_UP, LIMIT)?;
        return ended(running);
    }
    loop {
        let event = running.event(LIMIT)?;
        match event["event"].as_str() {
            Some("ready") => return ended(running),
            Some("refused" | "failed") => bail!("the rescue does not get ready: {event}"),
            _ => {}
        }
    }
}

fn ended(running: Running) -> anyhow::Result<Duration> {
    let time = running.elapsed();
    running.quit()?;
    Ok(time)
}
