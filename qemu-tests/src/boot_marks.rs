//! What could make a disk image boot, seen from outside: boot code, GRUB's core, loaders on an ESP.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fatfs::{FileSystem, FsOptions};

use crate::tamper::Slice;

const SECTOR: u64 = 512;
/// Boot code of a master boot record, and the flag of its first partition.
const BOOT_CODE: usize = 440;
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
/// Where firmware looks when it remembers nothing, and where the sample's own loaders lie.
const LOADERS: [&str; 3] = ["EFI/BOOT/BOOTX64.EFI", "EFI/debian/grubx64.efi", "EFI/debian/shimx64.efi"];

/// Everything on the image that firmware could start, for people; empty where nothing is.
///
/// # Errors
/// When the image cannot be read.
pub fn boot_marks(image: &Path) -> io::Result<Vec<String>> {
    let file = File::open(image)?;
    let mut marks = Vec::new();
    let mut first = [0; SECTOR as usize];
    file.read_exact_at(&mut first, 0)?;
    if first[..BOOT_CODE].iter().any(|byte| *byte != 0) {
        marks.push("boot code".to_owned());
    }
    if first[446] == 0x80 {
        marks.push("an active partition".to_owned());
    }
    // No table: no partition from which anything could start.
    let Ok(table) = gpt::GptConfig::new().open(image) else { return Ok(marks) };
    for (number, entry) in table.partitions() {
        let (start, end) = (entry.first_lba * SECTOR, (entry.last_lba + 1) * SECTOR);
        let kind = entry.part_type_guid.guid.to_string().to_uppercase();
        if kind == BIOS_BOOT {
            let mut bytes = vec![0; (end - start) as usize];
            file.read_exact_at(&mut bytes, start)?;
            if bytes.iter().any(|byte| *byte != 0) {
                marks.push(format!("a core image in partition {number}"));
            }
        }
        if kind == ESP
            && let Ok(volume) = FileSystem::new(Slice::new(file.try_clone()?, start, end - start), FsOptions::new())
        {
            let root = volume.root_dir();
            marks.extend(LOADERS.iter().filter(|path| root.open_file(path).is_ok()).map(|path| (*path).to_owned()));
        }
    }
    Ok(marks)
}
