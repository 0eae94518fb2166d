//! Where vaults lie: a folder, or the data partition of a stick (a device or an image file).
//!
//! Reading never mounts: a stick is opened through its GPT and `ext4-view`. Writing to a stick mounts its data partition for the
//! time of the run, under a folder of its own that is gone afterwards.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use exec::Command;
use layout::Guid;
use vault::{Ext4Store, FolderStore, Store, Vault};

use crate::attest::Image;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::stick::{self, Located};

/// Folder of the vault on a stick's data partition.
pub const VAULT_FOLDER: &str = "vault";

/// What lies in the root of a vault; `lost+found` where it is a filesystem of its own.
const IN_A_VAULT: &[&str] = &[
    "vault.json",
    "vault.json.sig",
    "keys",
    "segments",
    "catalogues",
    "manifests",
    "audit",
    "identities",
    "recipients",
    "lock",
    "tmp",
    "lost+found",
];

/// A folder for a new vault: made if missing, refused if it holds anything.
///
/// # Errors
/// Exit 30 when the folder is not empty.
pub fn new_folder(path: &Path) -> anyhow::Result<Arc<dyn Store>> {
    fs::create_dir_all(path).with_context(|| format!("making the folder {}", path.display()))?;
    let mut entries = fs::read_dir(path).with_context(|| format!("reading the folder {}", path.display()))?;
    if entries.next().is_some() {
        let message =
            format!("{} is not empty; a new vault needs an empty folder, nothing was changed", path.display());
        return Err(refusal(Exit::Guard, message));
    }
    Ok(Arc::new(FolderStore::new(path)))
}

/// A folder for a copy of a vault: one that holds a vault (or a copy that was cut), or that is empty or missing, and then made when the lock is taken.
///
/// # Errors
/// Exit 30 when it holds something else.
pub fn vault_folder(path: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let inner = path.join(VAULT_FOLDER);
    if inner.join("vault.json").is_file() {
        return Ok(Arc::new(FolderStore::new(inner)));
    }
    if !path.try_exists().with_context(|| format!("looking for {}", path.display()))? {
        return Ok(Arc::new(FolderStore::new(path)));
    }
    for entry in fs::read_dir(path).with_context(|| format!("reading the folder {}", path.display()))? {
        let name = entry.with_context(|| format!("reading the folder {}", path.display()))?.file_name();
        if !name.to_str().is_some_and(|name| IN_A_VAULT.contains(&name)) {
            let name = name.to_string_lossy();
            let message = format!("{} holds {name:?}, which belongs to no vault; nothing was changed", path.display());
            return Err(refusal(Exit::Guard, message));
        }
    }
    Ok(Arc::new(FolderStore::new(path)))
}

/// What lies at `place`, to read, and the name under which it is remembered; whether it is a vault is not looked at.
///
/// # Errors
/// Exit 10 when there is nothing.
pub fn store(place: &Path) -> anyhow::Result<(Arc<dyn Store>, String)> {
    let kind = fs::metadata(place)
        .map_err(|error| refusal(Exit::NoVault, format!("{}: {error}; is the stick plugged in?", place.display())))?
        .file_type();
    let (store, name): (Arc<dyn Store>, String) = if kind.is_dir() {
        let inner = place.join(VAULT_FOLDER);
        let is_vault = inner.join("vault.json").is_file() || inner.join("manifests").is_dir();
        let folder = if is_vault { inner } else { place.to_owned() };
        let name = self::place(&folder);
        (Arc::new(FolderStore::new(folder)), name)
    } else {
        let located = stick::locate(place)?.ok_or_else(|| no_stick(place))?;
        let image = Image::open(place)?;
        let data = image.partition(stick::DATA_NUMBER)?;
        (Arc::new(Ext4Store::open(data.window(), VAULT_FOLDER)?), stick_place(&located.guid))
    };
    Ok((store, name))
}

/// The name under which a vault folder is remembered.
pub fn place(folder: &Path) -> String {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).to_string_lossy().into_owned()
}

/// The name under which the vault on a stick is remembered, wherever it is plugged in.
pub fn stick_place(guid: &Guid) -> String {
    format!("stick {guid}")
}

fn no_stick(place: &Path) -> anyhow::Error {
    refusal(
        Exit::NoVault,
        format!("{} is no Lifeboat stick: it has no data partition; make one with `lifeboat create`", place.display()),
    )
}

/// A stick whose data partition is mounted for writing.
pub struct Stick {
    target: PathBuf,
    located: Located,
    mount: Option<tempfile::TempDir>,
}

impl Stick {
    /// Finds the stick (`named`, else the configured one, else the one made last, wherever it is plugged in now) and mounts its data partition.
    ///
    /// # Errors
    /// Exit 10 when there is no such stick.
    pub fn open(context: &Context, named: Option<&Path>) -> anyhow::Result<Self> {
        let target = match named.or(context.config.stick.as_deref()) {
            Some(target) => target.to_owned(),
            None => find_known(context)?,
        };
        let kind = fs::metadata(&target)
            .map_err(|error| {
                refusal(Exit::NoVault, format!("{}: {error}; is the stick plugged in?", target.display()))
            })?
            .file_type();
        let located = stick::locate(&target)?.ok_or_else(|| no_stick(&target))?;
        let mount = tempfile::Builder::new()
            .prefix("lifeboat-stick-")
            .tempdir_in("/run")
            .context("making a folder to mount the stick on; adding to a stick needs root")?;
        let options = if kind.is_block_device() {
            "noatime,nodev,nosuid,noexec".to_owned()
        } else {
            format!("noatime,nodev,nosuid,noexec,loop,offset={},sizelimit={}", located.data.start, located.data.len)
        };
        let source = if kind.is_block_device() { partition_node(&target, stick::DATA_NUMBER)? } else { target.clone() };
        Command::new("mount")
            .args(["-t", "ext4", "-o", &options])
            .arg(&source)
            .arg(mount.path())
            .run()
            .with_context(|| format!("mounting the data partition of the stick {}", target.display()))?;
        Ok(Self { target, located, mount: Some(mount) })
    }

    /// The device or file.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The stick's disk GUID.
    pub fn guid(&self) -> &Guid {
        &self.located.guid
    }

    /// Size of the whole medium in bytes.
    pub fn size(&self) -> u64 {
        self.located.size
    }

    /// The mounted data partition.
    pub fn folder(&self) -> &Path {
        self.mount.as_ref().map_or(Path::new(""), tempfile::TempDir::path)
    }

    /// The vault on the stick.
    ///
    /// # Errors
    /// When there is none.
    pub fn vault(&self) -> anyhow::Result<Vault> {
        let vault = Vault::open(Arc::new(FolderStore::new(self.folder().join(VAULT_FOLDER))))
            .with_context(|| format!("opening the vault on the stick {}", self.target.display()))?;
        Ok(vault.named(stick_place(&self.located.guid)))
    }

    /// Writes a new file on the data partition, whole or not at all.
    ///
    /// # Errors
    /// When there is one of that name, or writing fails.
    pub fn put(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.folder().join(name);
        let folder = path.parent().unwrap_or(self.folder());
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist_noclobber(&path)?;
            fs::File::open(folder)?.sync_all()
        };
        write().with_context(|| format!("writing {name} on the stick {}", self.target.display()))
    }

    /// Unmounts the data partition; only after that has returned is everything on the medium.
    ///
    /// # Errors
    /// When the kernel cannot write everything out.
    pub fn close(mut self) -> anyhow::Result<()> {
        let Some(mount) = self.mount.take() else { return Ok(()) };
        Command::new("umount").arg(mount.path()).run().with_context(|| {
            format!("unmounting the stick {}; do not pull it out before `sync` has ended", self.target.display())
        })?;
        mount.close().context("removing the mount folder")
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        if let Some(mount) = self.mount.take() {
            // Reached on errors only: `close` reports. A busy stick is detached as soon as it is free.
            let _ = Command::new("umount").arg("--lazy").arg(mount.path()).run();
        }
    }
}

/// The device node of a disk's partition, by sysfs and not by guessing the name.
fn partition_node(disk: &Path, number: u32) -> anyhow::Result<PathBuf> {
    let disk = disk.canonicalize().with_context(|| format!("finding {}", disk.display()))?;
    let name = disk.file_name().unwrap_or_default();
    let folder = Path::new("/sys/class/block").join(name);
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let found = fs::read_to_string(entry.path().join("partition")).unwrap_or_default();
        if found.trim() == number.to_string() {
            return Ok(Path::new("/dev").join(entry.file_name()));
        }
    }
    Err(refusal(Exit::NoVault, format!("the kernel shows no partition {number} on {}", disk.display())))
}

/// The stick made last: where it was, or whichever disk carries its GUID now.
///
/// # Errors
/// Exit 10 when this host has made none, or it is not plugged in.
pub fn find_known(context: &Context) -> anyhow::Result<PathBuf> {
    let Some(known) = context.state.stick()? else {
        return Err(refusal(
            Exit::NoVault,
            "no vault and no stick is named; name one, or make a stick with `lifeboat create`",
        ));
    };
    let is_it = |path: &Path| stick::locate(path).ok().flatten().is_some_and(|stick| stick.guid == known.guid);
    if is_it(&known.target) {
        return Ok(known.target);
    }
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut nodes = disks.map(|entry| Path::new("/dev").join(entry.file_name()));
    nodes.find(|node| is_it(node)).ok_or_else(|| {
        let message = format!("the stick {} ({}) is not plugged in", known.guid, known.target.display());
        refusal(Exit::NoVault, message)
    })
}
