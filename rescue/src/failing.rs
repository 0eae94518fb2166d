//! Which disk failed: the error of a read or a write names a file, the kernel's log names the device.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::kernel::sysfs;

/// The device whose error the kernel told of last, as a sentence; none where it told of none.
pub fn device() -> Option<String> {
    let (name, sector) = last(&log())?;
    Some(told(&name, sector, Path::new("/sys/block")))
}

/// What is in the kernel's log now, one record a line.
fn log() -> String {
    // O_NONBLOCK: at its end the log would wait for more.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let Ok(mut file) = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg") else {
        return String::new();
    };
    let (mut text, mut record) = (String::new(), [0; 8192]);
    loop {
        match file.read(&mut record) {
            Ok(0) => return text,
            Ok(length) => text += &String::from_utf8_lossy(&record[..length]),
            // Overwritten while it was read: the next one is there.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
            Err(_) => return text,
        }
    }
}

/// Device and sector of the last `I/O error, dev sda, sector 123 ...`.
fn last(log: &str) -> Option<(String, u64)> {
    let line =
        log.lines().rev().find(|line| line.contains("I/O error, dev ") || line.contains("medium error, dev "))?;
    let (name, rest) = line.split_once("error, dev ")?.1.split_once(", sector ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((name.to_owned(), digits.parse().ok()?))
}

fn told(name: &str, sector: u64, block: &Path) -> String {
    let folder = block.join(name);
    let serial = ["serial", "device/serial", "device/vpd_pg80"].iter().find_map(|file| sysfs(folder.join(file)));
    let serial: Option<String> = serial.map(|text| text.chars().filter(char::is_ascii_graphic).collect());
    let named = serial.filter(|serial| !serial.is_empty()).map(|serial| format!(" (serial number {serial})"));
    format!("the kernel names the disk /dev/{name}{}, sector {sector}", named.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_device_that_failed_is_named_with_its_serial_number() {
        let log = "6,1,2,-;usb 1-1: new device\n3,7,1,-;I/O error, dev sdb, sector 8 op 0x0:(READ) flags 0x0\n SUBSYSTEM=block\n\
                   3,8,1,-;critical medium error, dev vda, sector 2097160 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2\n3,9,1,-;EXT4-fs error\n";
        assert_eq!(last(log), Some(("vda".to_owned(), 2_097_160)));
        assert_eq!(last("6,1,2,-;all is well\n"), None);
        let block = tempfile::tempdir().unwrap();
        std::fs::create_dir(block.path().join("vda")).unwrap();
        std::fs::write(block.path().join("vda/serial"), "LBNEWA\n").unwrap();
        assert_eq!(told("vda", 7, block.path()), "the kernel names the disk /dev/vda (serial number LBNEWA), sector 7");
        assert_eq!(told("sdz", 7, block.path()), "the kernel names the disk /dev/sdz, sector 7");
    }
}
