//! Encrypted containers: what they are, their headers, and, where the configuration says so, their volume keys.
//!
//! Headers and keys are secrets. They are read through files in memory, held in memory, and handed on to be sealed; nothing of them is written to a
//! disk, and none is ever an argument of a program.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use exec::Command;
use layout::crypttab::{CrypttabEntry, KeyFile};
use layout::luks::Luks;
use layout::{Kind, Layout};
use manifest::host::{Container, Gap};
use vault::Private;

use super::gap;
use super::source::Source;

/// Folders that lie in memory.
const MEMORY: &[&str] = &["/run", "/dev/shm"];
/// `f_type` of tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A tool, which cron's short PATH may not reach.
fn tool(name: &str) -> Command {
    Command::new(exec::find(name).unwrap_or_else(|| name.into()))
}

/// Describes the container on a device.
pub(super) fn describe(device: &str) -> anyhow::Result<Luks> {
    let dump = tool("cryptsetup").args(["luksDump", device]).read()?;
    Ok(Luks::parse(&dump)?)
}

/// Headers, and volume keys if they are `wanted`, of every open container. One whose header cannot be kept gets a hindrance in the layout, so
/// that nothing in it counts as covered.
pub(super) fn keep(
    source: &Source,
    layout: &mut Layout,
    crypttab: &[CrypttabEntry],
    wanted: bool,
    gaps: &mut Vec<Gap>,
) -> (Vec<Container>, Vec<Private>) {
    let (mut containers, mut secrets) = (Vec::new(), Vec::new());
    for (place, device) in open_containers(layout) {
        let Kind::Luks(luks) = &mut layout.nodes[place].kind else { continue };
        let name = luks.name.clone().unwrap_or_default();
        match in_file(|file| backup_header(&device, file)) {
            Ok(bytes) => secrets.push(Private { name: Container::header_part(&luks.uuid), bytes }),
            Err(error) => {
                luks.hindrance = Some(format!("its header could not be saved: {error:#}"));
                continue;
            }
        }
        let entry = crypttab.iter().find(|entry| entry.opens(&luks.uuid, &device, luks.name.as_deref()));
        let key_file = entry.and_then(CrypttabEntry::key_file).filter(|file| source.exists(&file.path));
        let mut volume_key = false;
        if wanted {
            match take_volume_key(&device, &name, key_file.as_ref()) {
                Ok(bytes) => {
                    secrets.push(Private { name: Container::volume_key_part(&luks.uuid), bytes });
                    volume_key = true;
                }
                Err(error) => gaps.push(gap(format!("volume key of {name}"), format!("it is not kept: {error:#}"))),
            }
        }
        containers.push(Container { uuid: luks.uuid.clone(), name, key_file, volume_key });
    }
    (containers, secrets)
}

/// Places in the layout of containers that are open and can be brought back, each with the path of the device below.
fn open_containers(layout: &Layout) -> Vec<(usize, String)> {
    let open =
        layout.nodes.iter().enumerate().filter(
            |(_, node)| matches!(&node.kind, Kind::Luks(luks) if luks.name.is_some() && luks.hindrance.is_none()),
        );
    let below = open.filter_map(|(place, node)| Some((place, layout.node(node.on.first()?)?.path.clone())));
    below.collect()
}

/// What `write` puts into a new file in memory.
fn in_file(write: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Vec<u8>> {
    let memory = MEMORY.iter().copied().find(|folder| lies_in_memory(Path::new(folder)));
    let memory = memory.with_context(|| format!("none of {} lies in memory", MEMORY.join(", ")))?;
    let folder = tempfile::Builder::new()
        .prefix("lifeboat-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(memory)?;
    let file = folder.path().join("secret");
    write(&file)?;
    Ok(std::fs::read(&file)?)
}

fn lies_in_memory(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|found| IN_MEMORY.contains(&found.f_type.cast_unsigned()))
}

fn backup_header(device: &str, file: &Path) -> anyhow::Result<()> {
    let command = tool("cryptsetup").args(["luksHeaderBackup", "--batch-mode", device]);
    command.arg("--header-backup-file").arg(file).run()?;
    Ok(())
}

/// The volume key: from the kernel where it shows it, else by the key file.
fn take_volume_key(device: &str, name: &str, key_file: Option<&KeyFile>) -> anyhow::Result<Vec<u8>> {
    let table = tool("dmsetup").args(["table", "--showkeys", name]).read();
    if let Some(key) = table.ok().as_deref().and_then(shown_key) {
        return Ok(key);
    }
    let file = key_file.context(
        "the kernel does not show it (it lies in its keyring), and crypttab names no key file that could open the header",
    )?;
    let bytes = Private { name: file.path.clone(), bytes: std::fs::read(&file.path)? };
    let key = file.key(&bytes.bytes).context("the key file is shorter than crypttab says")?;
    in_file(|out| {
        let dump = tool("cryptsetup").args(["luksDump", "--batch-mode", "--dump-volume-key", "--key-file=-"]);
        dump.arg("--volume-key-file").arg(out).arg(device).stdin(key).run()?;
        ensure!(out.exists(), "cryptsetup wrote no key");
        Ok(())
    })
}

/// The key in a line of `dmsetup table --showkeys`; none where it only names a key of the keyring.
fn shown_key(table: &str) -> Option<Vec<u8>> {
    let mut fields = table.split_ascii_whitespace().skip_while(|field| *field != "crypt").skip(2);
    let digits = fields.next()?.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let pairs = digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    let key: Vec<u8> = pairs.collect::<Option<_>>()?;
    (digits.len() % 2 == 0 && key.len() >= 16).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_from_the_kernels_table_only_where_it_stands_there() {
        let table = include_str!("../../../layout/fixtures/stacks/luks1.table");
        let shown = shown_key(table).unwrap();
        let digits: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(shown.len() == 64 && table.contains(&format!(" {digits} ")), "{digits}");
        assert_eq!(shown_key(include_str!("../../../layout/fixtures/stacks/luks2.table")), None);
        assert_eq!(shown_key("0 100 linear 8:0 0\n"), None);
    }

    #[test]
    fn a_secret_passes_through_memory_and_leaves_no_file() {
        let mut place = None;
        let bytes = in_file(|file| {
            place = Some(file.to_owned());
            assert_eq!(file.parent().unwrap().metadata()?.permissions().mode() & 0o777, 0o700);
            Ok(std::fs::write(file, b"secret")?)
        });
        // Where nothing lies in memory (some containers), nothing is written at all.
        match bytes {
            Ok(bytes) => assert_eq!(bytes, b"secret"),
            Err(error) => assert!(place.is_none() && error.to_string().contains("in memory"), "{error:#}"),
        }
        assert!(place.is_none_or(|file| !file.exists()));
    }

    /// A container in a file, by the real tool.
    fn container(kind: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let uuid = "12121212-3434-4434-8434-565656565656";
        let format = tool("cryptsetup").args(["luksFormat", "--batch-mode", "--type", kind, "--uuid", uuid]);
        let format = format.args(["--pbkdf-force-iterations", "1000", "--key-file=-"]);
        let format = if kind == "luks2" { format.args(["--pbkdf", "pbkdf2"]) } else { format };
        format.arg(&image).stdin(*b"first").run().unwrap();
        std::fs::write(folder.path().join("key"), b"first").unwrap();
        folder
    }

    #[test]
    fn a_saved_header_makes_the_container_again_with_its_passphrases_and_its_volume_key() {
        for kind in ["luks1", "luks2"] {
            let folder = container(kind);
            let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
            let before = describe(&path("image")).unwrap();
            let header = in_file(|file| backup_header(&path("image"), file)).unwrap();
            let file = KeyFile { path: path("key"), offset: 0, size: None };
            let key = take_volume_key(&path("image"), "no-such-mapping", Some(&file)).unwrap();
            assert_eq!(key.len(), 64);

            // Onto a larger, empty device.
            std::fs::write(path("header"), &header).unwrap();
            std::fs::File::create(path("other")).unwrap().set_len(48 << 20).unwrap();
            tool("cryptsetup").args(before.restore_header(&path("other"), &path("header"))).run().unwrap();
            assert_eq!(describe(&path("other")).unwrap(), before);
            let test = || tool("cryptsetup").args(["open", "--test-passphrase", &path("other")]);
            test().arg("--key-file=-").stdin(*b"first").run().unwrap();
            assert_eq!(test().arg("--key-file=-").stdin(*b"second").run().unwrap_err().code(), Some(2));
            test().args(["--volume-key-file", "/dev/stdin"]).stdin(key).run().unwrap();
        }
    }
}
