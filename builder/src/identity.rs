//! Recovery: the identities that open backups, and the recipients of a new vault. Made here, read here, never kept here.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use vault::{Holder, Identities, Kind, Recipient, RecipientKind, Vault};

use crate::cli::Recovery;
use crate::cli::key::Passphrase;
use crate::exit::{Exit, refusal};
use crate::passphrase;

/// Name of the recipient whose identity a passphrase opens, where no other is given; and what `--identity` is called to mean those in the vault.
pub const PASSPHRASE_NAME: &str = "passphrase";
/// What a person must know who seals to hardware only.
pub const NO_RESCUE: &str = "warning: only plugins can open this vault, and a stick's rescue system has none; add a passphrase or an age identity for it\n";

/// Reads an identity file: age identities, plugins' or an SSH key, as they are or under a passphrase.
///
/// # Errors
/// When it cannot be read, holds no identity, or the passphrase is wrong (12).
pub fn read(path: &Path) -> anyhow::Result<Identities> {
    let doing = || format!("reading the identity {}", path.display());
    let bytes = std::fs::read(path).with_context(doing)?;
    if Identities::needs_passphrase(&bytes) {
        let passphrase = passphrase::known(&path.display().to_string())?;
        return Identities::from_passphrase_file(&bytes, &passphrase).map_err(no_key).with_context(doing);
    }
    let text = String::from_utf8(bytes).map_err(|_| refusal(Exit::WrongKey, "it is no text")).with_context(doing)?;
    Identities::from_file_text_with_plugins(&text).map_err(no_key).with_context(doing)
}

/// What is no key is no key that fits.
fn no_key(error: vault::Error) -> anyhow::Error {
    match error.kind() {
        Kind::Invalid => refusal(Exit::WrongKey, error.to_string()),
        _ => error.into(),
    }
}

/// Reads an identity file; `passphrase`, where no file is called that, means those that the vault holds under a passphrase.
///
/// # Errors
/// As [`read`].
pub fn of(vault: &Vault, path: &Path) -> anyhow::Result<Identities> {
    if path != Path::new(PASSPHRASE_NAME) || path.exists() {
        return read(path);
    }
    let sealed = vault.sealed_identities()?;
    if sealed.is_empty() {
        return Err(refusal(Exit::WrongKey, "the vault holds no identity under a passphrase; name an identity file"));
    }
    let passphrase = passphrase::known("the vault")?;
    for (name, file) in sealed {
        match Identities::from_passphrase_file(&file, &passphrase) {
            Err(error) if error.kind() == Kind::WrongKey => {}
            other => return other.with_context(|| format!("reading {name} in the vault")),
        }
    }
    Err(refusal(Exit::WrongKey, "the passphrase opens no identity in the vault"))
}

/// Writes a new file that only its owner reads.
///
/// # Errors
/// When there is one of that name, or writing fails.
pub fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("writing the identity {}", path.display()))
}

/// Who can open a new vault.
#[derive(Default)]
pub struct Recovered {
    /// The recipients.
    pub holders: Vec<Holder>,
    /// An identity under a passphrase, to be kept in the vault: its name and its file.
    pub sealed: Option<(String, Vec<u8>)>,
    /// An identity file that was made for it.
    pub new_file: Option<PathBuf>,
}

impl Recovered {
    /// What the arguments name; the identity file `fallback` when they name nothing. Identity files that do not exist are made.
    ///
    /// # Errors
    /// When a recipient cannot be used (2), or a file cannot be read or written.
    pub fn gather(args: &Recovery, fallback: Option<&Path>) -> anyhow::Result<Self> {
        let mut recovered = Self::default();
        for text in &args.recipients {
            recovered.add_recipients(text)?;
        }
        if args.passphrase.wanted() {
            recovered.add_passphrase(&args.passphrase, PASSPHRASE_NAME)?;
        }
        let fallback = fallback.filter(|_| recovered.holders.is_empty());
        if let Some(file) = args.identity.as_deref().or(fallback) {
            recovered.add_identity(file)?;
        }
        if recovered.holders.is_empty() {
            return Err(refusal(
                Exit::Usage,
                "nobody could open this vault: give --identity, --recipient or --passphrase",
            ));
        }
        check_usable(&recovered.holders)?;
        Ok(recovered)
    }

    /// Adds a recipient, or those in a file of recipients.
    ///
    /// # Errors
    /// Exit 2 when it is neither.
    pub fn add_recipients(&mut self, text: &str) -> anyhow::Result<()> {
        let given = Path::new(text);
        if !given.is_file() {
            self.add(parse(text)?, String::new());
            return Ok(());
        }
        let lines = std::fs::read_to_string(given).with_context(|| format!("reading the recipients in {text}"))?;
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // What follows an SSH key is a name for people.
            let name = line.split_whitespace().nth(2).filter(|_| line.starts_with("ssh-"));
            self.add(parse(line)?, name.unwrap_or_default().to_owned());
        }
        Ok(())
    }

    /// Adds an identity that a passphrase opens.
    ///
    /// # Errors
    /// When the passphrase is refused.
    pub fn add_passphrase(&mut self, from: &Passphrase, name: &str) -> anyhow::Result<()> {
        let passphrase = passphrase::new(from)?;
        let identities = Identities::generate();
        self.sealed = Some((name.to_owned(), identities.to_passphrase_file(&passphrase)?));
        for recipient in identities.recipients() {
            self.add(recipient, name.to_owned());
        }
        Ok(())
    }

    fn add_identity(&mut self, file: &Path) -> anyhow::Result<()> {
        let identities = if file.try_exists()? {
            read(file)?
        } else {
            let identities = Identities::generate();
            write_new(file, identities.to_file_text().as_bytes())?;
            self.new_file = Some(file.to_owned());
            identities
        };
        if identities.recipients().is_empty() {
            return Err(refusal(
                Exit::Usage,
                format!("{} does not say its recipient, as plugins do not; give it with --recipient", file.display()),
            ));
        }
        for recipient in identities.recipients() {
            self.add(recipient, String::new());
        }
        Ok(())
    }

    fn add(&mut self, recipient: Recipient, mut name: String) {
        // Two keys from one machine often have the same comment.
        if self.holders.iter().any(|holder| holder.name == name) {
            name.clear();
        }
        if self.holders.iter().all(|holder| holder.recipient != recipient) {
            self.holders.push(Holder { recipient, name, since: Timestamp::now().to_string() });
        }
    }

    /// The recipients as text.
    pub fn recipients(&self) -> Vec<String> {
        self.holders.iter().map(|holder| holder.recipient.to_string()).collect()
    }

    /// What a person must know of it.
    pub fn notice(&self) -> String {
        let mut text = self.new_file.as_deref().map(notice).unwrap_or_default();
        if self.holders.iter().all(|holder| matches!(holder.recipient.kind(), RecipientKind::Plugin(_))) {
            text += NO_RESCUE;
        }
        text
    }
}

/// Tries the recipients: something is sealed to them, as every run will be.
///
/// # Errors
/// Exit 2 when one cannot be used: a plugin is missing, a key is damaged.
pub fn check_usable(holders: &[Holder]) -> anyhow::Result<()> {
    let recipients: Vec<Recipient> = holders.iter().map(|holder| holder.recipient.clone()).collect();
    Recipient::try_all(&recipients).map_err(|error| refusal(Exit::Usage, format!("{error}; nothing was changed")))
}

fn parse(text: &str) -> anyhow::Result<Recipient> {
    text.parse()
        .map_err(|error: vault::Error| refusal(Exit::Usage, format!("{error}, and there is no file of that name")))
}

fn notice(path: &Path) -> String {
    format!(
        "The recovery identity is in {}.\n\
         It is a key to all of the backups. Take it off this machine and keep it apart from the stick, twice:\n\
         on paper, and as lifeboat-identity.txt on another medium. Without a recovery identity nothing can be restored.\n",
        path.display()
    )
}
