//! What is overwritten is saved first: boot code, partition tables, headers and superblocks of each target, on the stick.
//!
//! Each disk gets a folder `reports/STAMP-saved-SERIAL` with one file for each stretch, named by its first byte, and `put-back.sh`, which
//! writes them to where they were. What lies between them is not saved.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use layout::Bytes;
use layout::matching::Present;
use layout::plan::{Plan, Step};

use crate::stick::{DATA, Stick, write_durably};
use crate::stop::{Code, OrStop, Result, Stop};

/// What the stick must have free beside the saved headers: for the journal and the report.
const MARGIN: Bytes = Bytes(16 << 20);
const SPACE: &str = "Free some space on the stick (its data partition, the folder reports) and start again.";

/// Stretches of a disk: first byte and length.
pub type Regions = [(Bytes, Bytes)];

/// Checks that the stick has room for what is saved, before anything is written anywhere.
///
/// # Errors
/// 40 when it has not.
pub fn check_room(plan: &Plan) -> Result<()> {
    let stretches = plan.before.iter().filter_map(|step| match step {
        Step::Save { regions, .. } => Some(regions),
        _ => None,
    });
    let needed = MARGIN.0 + stretches.flatten().map(|(_, length)| length.0).sum::<u64>();
    let found = rustix::fs::statvfs(DATA).or_stop(Code::Io, "asking for the room on the stick", SPACE)?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let message = format!(
        "the stick has {} free and {} are needed to save what is overwritten and to keep the journal",
        Bytes(free),
        Bytes(needed)
    );
    Err(Stop::new(Code::NoSpace, message, SPACE))
}

/// The folder for a disk's headers.
pub fn folder(stick: &Stick, stamp: &str, disk: &Present) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let handle: String = disk.handle().trim_start_matches("/dev/").chars().map(plain).collect();
    stick.data("reports").join(format!("{stamp}-saved-{handle}"))
}

/// Saves the stretches of one disk into `folder`.
///
/// # Errors
/// When the disk cannot be read, or the stick is full.
pub fn save(disk: &Present, regions: &Regions, folder: &Path) -> Result<()> {
    for (start, length) in regions {
        let advice = "Check the disk and its cables and start again. Nothing was written to it.";
        let doing = || format!("reading {} at byte {}", disk.path, start.0);
        let bytes = read_at(Path::new(&disk.path), *start, *length).or_stop(Code::Io, doing(), advice)?;
        write(&folder.join(file_name(*start)), &bytes, disk)?;
    }
    write(&folder.join("put-back.sh"), put_back(disk, regions).as_bytes(), disk)
}

fn write(path: &Path, bytes: &[u8], disk: &Present) -> Result<()> {
    // An earlier start that was cut before the disk was touched may have written it: the disk is the same, so the file is.
    let doing = || format!("saving what is on {disk} to {} on the stick", path.display());
    write_durably(path, bytes).or_stop(Code::NoSpace, doing(), SPACE)
}

fn file_name(start: Bytes) -> String {
    format!("{}.bin", start.0)
}

fn read_at(path: &Path, start: Bytes, length: Bytes) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start.0))?;
    let mut bytes = vec![0; length.0 as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The script that puts a disk's headers back.
fn put_back(disk: &Present, regions: &Regions) -> String {
    let what = quoted(&format!("{} bytes, {}, serial {}", disk.size.0, disk.disk.model, disk.handle()));
    let mut script = format!(
        "#!/bin/sh\n\
         # Puts back the partition tables, boot code and headers that a restore overwrote on one disk: sh put-back.sh /dev/DISK\n\
         # What lay between them was not saved: filesystems that were made anew since do not come back by this.\n\
         set -eu\n\
         what={what}\n\
         disk=${{1:?the disk to write to is wanted: $what}}\n\
         size=$(blockdev --getsize64 \"$disk\")\n\
         [ \"$size\" = {} ] || {{ echo \"$disk has $size bytes; wanted is the disk with $what\" >&2; exit 1; }}\n\
         printf 'Overwrite headers on %s with those of the disk with %s? Type yes: ' \"$disk\" \"$what\" >&2\n\
         read -r answer\n\
         [ \"$answer\" = yes ] || exit 1\n\
         cd \"$(dirname \"$0\")\"\n",
        disk.size.0
    );
    for (start, _) in regions {
        let sector = if start.0 % 4096 == 0 { 4096 } else { 512 };
        let line = format!(
            "dd if={} of=\"$disk\" bs={sector} seek={} conv=notrunc,fsync status=none\n",
            file_name(*start),
            start.0 / sector
        );
        script.push_str(&line);
    }
    script.push_str("blockdev --rereadpt \"$disk\" || true\necho \"Put back. Start the machine again.\"\n");
    script
}

/// As one word of a shell: a disk's model and serial number are what its maker wrote.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace(|c: char| c == '\'' || c.is_control(), "-"))
}

/// The folders with saved headers of one restore, for its report.
pub fn folders(stick: &Stick, stamp: &str, plan: &Plan) -> Vec<String> {
    let all = plan.disks.iter().map(|disk| folder(stick, stamp, &disk.target));
    let there = all.filter(|folder| fs::symlink_metadata(folder).is_ok());
    there.filter_map(|folder| Some(format!("reports/{}", folder.file_name()?.to_str()?))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use std::process::Command;

    use layout::disk::{Disk, Table};

    use super::*;

    fn disk(path: &Path, size: u64) -> Present {
        let disk = Disk {
            model: "O'Brien $(reboot)\n".to_owned(),
            serial: Some("S1".to_owned()),
            wwn: None,
            transport: None,
            logical_sector: 512,
            physical_sector: 512,
            removable: false,
            rotational: false,
            table: Table::None,
        };
        Present { path: path.display().to_string(), size: Bytes(size), disk, holds: Vec::new(), barred: None }
    }

    #[test]
    fn the_script_puts_back_what_was_saved_and_nothing_else() {
        let work = tempfile::tempdir().unwrap();
        let (image, folder) = (work.path().join("disk"), work.path().join("saved"));
        let old: Vec<u8> = (0..1_048_576u32).map(|n| (n % 251) as u8).collect();
        fs::write(&image, &old).unwrap();
        let regions = [(Bytes(0), Bytes(4096)), (Bytes(9 * 512), Bytes(1024)), (Bytes(1_040_384), Bytes(8192))];
        let disk = disk(&image, 1_048_576);
        save(&disk, &regions, &folder).unwrap();
        fs::write(&image, vec![0xff; old.len()]).unwrap();
        // blockdev knows block devices only.
        let bin = work.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("blockdev"), "#!/bin/sh\n[ $1 = --rereadpt ] || stat -c %s \"$2\"\n").unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        Command::new("chmod").arg("755").arg(bin.join("blockdev")).status().unwrap();
        let run = |answer: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", "printf '%s\\n' \"$1\" | sh \"$2\" \"$3\"", "sh", answer]);
            command.arg(folder.join("put-back.sh")).arg(&image).env("PATH", &path).output().unwrap()
        };
        assert!(!run("no").status.success());
        assert!(fs::read(&image).unwrap().iter().all(|byte| *byte == 0xff));
        let output = run("yes");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let new = fs::read(&image).unwrap();
        for (at, (new, old)) in new.iter().zip(&old).enumerate() {
            let saved = regions.iter().any(|(start, length)| (start.0..start.0 + length.0).contains(&(at as u64)));
            assert_eq!(*new, if saved { *old } else { 0xff }, "byte {at}");
        }
    }
}
