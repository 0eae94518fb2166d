//! Which system lies on a filesystem, for people who are about to overwrite it. Nothing is mounted; what cannot be read is not told.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ext4_view::Ext4;
use fatfs::{FileSystem, FsOptions};

use crate::stick::ReadOnly;

/// What is read of a file, and shown of it.
const LARGEST: u64 = 64 * 1024;
const LONGEST: usize = 40;

/// The system on a device: `Debian GNU/Linux 12 (bookworm), host web1`; for an ESP the names of its loaders' folders.
pub fn on(device: &Path) -> Option<String> {
    root(device).or_else(|| loaders(device))
}

fn root(device: &Path) -> Option<String> {
    let volume = Ext4::load(Box::new(File::open(device).ok()?)).ok()?;
    let read = |path: &str| {
        let size = volume.metadata(path).ok()?.len();
        (size <= LARGEST).then(|| volume.read(path).ok()).flatten()
    };
    let release = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"))?;
    let name = pretty_name(&release)?;
    Some(match read("/etc/hostname").map(|bytes| plain(&bytes)).filter(|host| !host.is_empty()) {
        Some(host) => format!("{name}, host {host}"),
        None => name,
    })
}

fn pretty_name(release: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(release);
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(plain(line.trim_matches(['"', '\''].as_slice()).as_bytes()))
}

fn loaders(device: &Path) -> Option<String> {
    let mut sector = [0; 512];
    File::open(device).ok()?.read_exact(&mut sector).ok()?;
    if sector[510..] != [0x55, 0xaa] {
        return None;
    }
    let volume =
        FileSystem::new(ReadOnly(File::open(device).ok()?), FsOptions::new().update_accessed_date(false)).ok()?;
    let folder = volume.root_dir().open_dir("EFI").ok()?;
    let names = folder.iter().flatten().filter(|entry| entry.is_dir()).map(|entry| entry.file_name());
    let mut names: Vec<String> =
        names.filter(|name| !name.starts_with('.')).map(|name| plain(name.as_bytes())).collect();
    names.sort_unstable();
    names.truncate(4);
    (!names.is_empty()).then(|| format!("boots {}", names.join(", ")))
}

/// What a stranger's disk says of itself, fit for a screen.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_called_by_its_own_name_and_cannot_write_on_the_screen() {
        let release = b"NAME=\"x\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(pretty_name(release).as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(pretty_name(b"PRETTY_NAME='\x1b[2Jnothing here'").as_deref(), Some("[2Jnothing here"));
        assert_eq!(pretty_name(b"NAME=x"), None);
        assert_eq!(plain(&[b'a'; 500]).len(), LONGEST);
    }
}
