//! Encrypted containers: the saved header of each that the plan brings back, and something that opens it, found and tried before consent.
//!
//! Headers, key files and passphrases lie in files and buffers in memory only ([`memory`]). No secret is ever an argument of a program or a line of
//! the journal.

mod memory;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use layout::crypttab::KeyFile;
use layout::luks::Luks;
use layout::luks::token::tpm_tokens;
use layout::plan::{Plan, Step};
use manifest::Host;
use manifest::host::Container;
use vault::{Contents, EntryPath, Identities, Private, Restore, Selection, Vault};

use self::memory::Memory;
use crate::adapt::tpm::Renewal;
use crate::apply::driver;
use crate::screen::{Answer, Screen};
use crate::stop::{Code, Result, Stop};

/// Where headers and key files lie while they are needed.
const FOLDER: &str = "/tmp/lifeboat-containers";
/// Wrong passphrases for one container before the rescue stops.
const TRIES: usize = 3;
/// Argon2 on a slow processor with little memory.
const LIMIT: Duration = Duration::from_secs(900);

const ADVICE: &str = "Use a passphrase that opened the container on the lost machine, or choose another snapshot.";

/// What opens a container.
enum Key {
    /// A passphrase, or the bytes of a key file.
    Passphrase(Private),
    /// The volume key itself.
    Volume(Private),
}

/// One container with its header in a file and its key.
struct Opening {
    uuid: String,
    header: PathBuf,
    key: Key,
}

/// Everything that the plan's containers need.
pub struct Containers {
    openings: Vec<Opening>,
    memory: Memory,
}

/// Where headers and keys come from.
pub struct Source<'a> {
    /// The vault on the stick.
    pub vault: &'a Vault,
    /// What of it is the snapshot.
    pub contents: &'a Contents,
    /// The machine of the snapshot.
    pub host: Option<&'a Host>,
    /// What opens the snapshot.
    pub key: &'a Identities,
}

/// Takes out the header of each container in `plan` and finds what opens it. None: somebody was asked, and nobody answered.
///
/// # Errors
/// 12 when nothing opens one and nobody may be asked (`attended` says whether), 21 when a header is missing.
pub fn prepare(screen: &Screen, source: &Source, plan: &Plan, attended: bool) -> Result<Option<Containers>> {
    let mut containers = Containers { openings: Vec::new(), memory: Memory::at(Path::new(FOLDER))? };
    let wanted = plan.before.iter().chain(&plan.after).filter_map(|step| match step {
        Step::MakeLuks { luks, .. } => Some(luks),
        _ => None,
    });
    for luks in wanted {
        let header = source.header(luks, &containers.memory)?;
        let key = match source.own_key(luks, &header, &containers.memory, |line| screen.say(line))? {
            Some(key) => key,
            None if !attended => return Err(nobody(luks)),
            None => match containers.ask(screen, luks, &header)? {
                Some(key) => key,
                None => return Ok(None),
            },
        };
        containers.openings.push(Opening { uuid: luks.uuid.clone(), header, key });
    }
    Ok(Some(containers))
}

fn nobody(luks: &Luks) -> Stop {
    let message = format!(
        "the container {} needs a passphrase: neither a key file nor its volume key is in the snapshot, and nobody may be asked",
        called(luks)
    );
    Stop::new(Code::WrongKey, message, "Restore with somebody there, or have crypttab name a key file.")
}

/// A container for people.
fn called(luks: &Luks) -> String {
    format!("{} (LUKS{} {})", luks.name.as_deref().unwrap_or("without a name"), luks.version, luks.uuid)
}

impl Source<'_> {
    fn header(&self, luks: &Luks, memory: &Memory) -> Result<PathBuf> {
        let missing = || {
            let message = format!("the snapshot keeps no header of the container {}", called(luks));
            Stop::new(Code::Corrupt, message, "Choose another snapshot.")
        };
        // The UUID becomes part of a file's name.
        if !luks.uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(missing());
        }
        let part = self.part(&Container::header_part(&luks.uuid))?.ok_or_else(missing)?;
        memory.file(&format!("{}.header", luks.uuid), &part.bytes)
    }

    fn part(&self, name: &str) -> Result<Option<Private>> {
        Ok(self.vault.private(self.contents, self.key, name)?)
    }

    /// A key that needs nobody: the key file of crypttab, else the volume key.
    fn own_key(&self, luks: &Luks, header: &Path, memory: &Memory, say: impl Fn(&str)) -> Result<Option<Key>> {
        let recorded = self.host.and_then(|host| host.containers.iter().find(|one| one.uuid == luks.uuid));
        if let Some(file) = recorded.and_then(|found| found.key_file.as_ref()) {
            match self.extract(file, memory)?.map(Key::Passphrase) {
                Some(key) if opens(&key, header, memory)? => {
                    say(&format!("  The key file {} opens the container {}.", file.path, called(luks)));
                    return Ok(Some(key));
                }
                Some(_) => say(&format!("  The key file {} does not open {}.", file.path, called(luks))),
                None => say(&format!("  The key file {} is not in the snapshot.", file.path)),
            }
        }
        match self.part(&Container::volume_key_part(&luks.uuid))?.map(Key::Volume) {
            Some(key) if opens(&key, header, memory)? => {
                say(&format!("  The kept volume key opens the container {}.", called(luks)));
                Ok(Some(key))
            }
            _ => Ok(None),
        }
    }

    /// The key in a file of the snapshot; none where it has no such file.
    fn extract(&self, file: &KeyFile, memory: &Memory) -> Result<Option<Private>> {
        let Some(path) = EntryPath::from_argument(file.path.as_bytes()) else { return Ok(None) };
        let dest = memory.folder("snapshot")?;
        let select = Selection::Paths(vec![path]);
        match self.vault.restore(&Restore { select, ..Restore::new(self.contents, self.key, &dest) }) {
            Ok(_) => {}
            // It was on a medium of its own, or left out: somebody is asked instead.
            Err(error) if error.kind() == vault::Kind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let place = dest.join(file.path.trim_start_matches('/'));
        // A link would lead out of the folder.
        let inside = fs::canonicalize(&place).is_ok_and(|real| real == place) && place.is_file();
        let whole = if inside { fs::read(&place).ok() } else { None };
        let whole = whole.map(|bytes| Private { name: file.path.clone(), bytes });
        memory.folder("snapshot")?;
        Ok(whole.and_then(|whole| {
            let bytes = file.key(&whole.bytes)?.to_vec();
            Some(Private { name: file.path.clone(), bytes })
        }))
    }
}

impl Containers {
    /// Containers that a TPM opened and that a passphrase opens here.
    pub fn renewals(&self) -> Vec<Renewal> {
        let renewal = |opening: &Opening| {
            let Key::Passphrase(secret) = &opening.key else { return None };
            let token = tpm_tokens(&fs::read(&opening.header).ok()?).into_iter().next()?;
            let passphrase = String::from_utf8(secret.bytes.clone()).ok()?;
            Some(Renewal { uuid: opening.uuid.clone(), token, passphrase })
        };
        self.openings.iter().filter_map(renewal).collect()
    }

    /// Asks for a passphrase; one that was typed for another container is tried first.
    fn ask(&self, screen: &Screen, luks: &Luks, header: &Path) -> Result<Option<Key>> {
        for other in &self.openings {
            if let Key::Passphrase(known) = &other.key {
                let key = Key::Passphrase(Private { name: known.name.clone(), bytes: known.bytes.clone() });
                if opens(&key, header, &self.memory)? {
                    return Ok(Some(key));
                }
            }
        }
        if luks.has_tpm() {
            screen.say(
                "It was opened by a TPM, which only that machine has: a passphrase or a recovery key is needed here.",
            );
        }
        for _ in 0..TRIES {
            let prompt = format!("Passphrase of the container {}: ", called(luks));
            let Answer::Line(line) = screen.ask("container", &prompt, true) else { return Ok(None) };
            let key = Key::Passphrase(Private { name: "typed".to_owned(), bytes: line.into_bytes() });
            screen.say("Trying the passphrase. This takes some seconds.");
            if opens(&key, header, &self.memory)? {
                return Ok(Some(key));
            }
            screen.say("It does not open the container.");
        }
        let message = format!("{TRIES} passphrases were tried and none opens the container {}", called(luks));
        Err(Stop::new(Code::WrongKey, message, ADVICE))
    }

    /// Writes the saved header to `device` and opens the container.
    ///
    /// # Errors
    /// When the header does not fit the device, or the device fails.
    pub fn make(&self, device: &str, luks: &Luks) -> Result<()> {
        let failed = |error: exec::ExecError| {
            Stop::new(Code::Io, error.to_string(), "Check the disk and start the restore again; it begins anew.")
        };
        let opening = self.openings.iter().find(|opening| opening.uuid == luks.uuid).ok_or_else(|| {
            Stop::new(Code::Guard, format!("nothing opens the container {}", called(luks)), "Start again.")
        })?;
        ["dm_mod", "dm_crypt"].into_iter().for_each(driver);
        let header = opening.header.to_string_lossy();
        cryptsetup().args(luks.restore_header(device, &header)).run().map_err(failed)?;
        // The key goes to the kernel itself: its keyring may want modules that a rescue does not have.
        let open = cryptsetup().args(["open", "--batch-mode", "--type", "luks", "--disable-keyring"]);
        let open = with_key(open, &opening.key, &self.memory)?.args([device, &luks.rescue_name()]);
        open.run().map(drop).map_err(failed)
    }
}

/// Closes a container that [`Containers::make`] opened.
///
/// # Errors
/// When it is in use.
pub fn close(luks: &Luks) -> Result<(), exec::ExecError> {
    cryptsetup().args(["close", &luks.rescue_name()]).run().map(drop)
}

/// Whether a key opens a header. Nothing is mapped.
fn opens(key: &Key, header: &Path, memory: &Memory) -> Result<bool> {
    let command = cryptsetup().args(["open", "--test-passphrase"]).arg(header);
    match with_key(command, key, memory)?.run() {
        Ok(_) => Ok(true),
        // 1: a volume key of another size; 2: no slot takes it.
        Err(error) if matches!(error.code(), Some(1 | 2)) => Ok(false),
        Err(error) => Err(Stop::new(Code::Failed, error.to_string(), "Open a shell and try cryptsetup by hand.")),
    }
}

fn cryptsetup() -> exec::Command {
    let program = exec::find("cryptsetup").unwrap_or_else(|| "cryptsetup".into());
    // There is no udev here: cryptsetup makes the nodes itself.
    exec::Command::new(program).env("DM_DISABLE_UDEV", "1").limit(LIMIT)
}

/// Adds the key: a passphrase by standard input, a volume key by a file in memory.
fn with_key(command: exec::Command, key: &Key, memory: &Memory) -> Result<exec::Command> {
    Ok(match key {
        Key::Passphrase(secret) => command.arg("--key-file=-").stdin(secret.bytes.clone()),
        Key::Volume(secret) => command.arg("--volume-key-file").arg(memory.file("volume-key", &secret.bytes)?),
    })
}

#[cfg(test)]
mod tests;
