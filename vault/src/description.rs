//! A vault's description: its identity, its sizes, and who can open what is sealed into it.
//!
//! `vault.json` is the first. When recipients change, a whole new description is written beside it, `recipients/2.json`, then `3`, each
//! naming the digest of the one before; the newest counts. So nothing is ever replaced, every store can keep it, and a cut leaves either
//! the old or the new one. Each has a signature in `<name>.sig`, written first; making and judging it is for others.

use serde::{Deserialize, Serialize};

use crate::contents::Digest;
use crate::error::{Error, Result};
use crate::identity::Recipient;
use crate::store::Store;
use crate::vault::{InitOptions, VERSION};

/// Name of the first description.
pub(crate) const VAULT_JSON: &str = "vault.json";
/// Folder of those that followed.
const FOLDER: &str = "recipients";
/// No description is larger.
const LIMIT: u64 = 1 << 20;

/// One recipient, and what people know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// The public key.
    pub recipient: Recipient,
    /// Its name for people; may be empty.
    pub name: String,
    /// When it was added, RFC 3339; may be empty.
    pub since: String,
}

impl From<Recipient> for Holder {
    fn from(recipient: Recipient) -> Self {
        Holder { recipient, name: String::new(), since: String::new() }
    }
}

/// `vault.json`, or one of `recipients/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    format: String,
    version: u32,
    /// The vault's identifier, 32 hexadecimal digits.
    pub id: String,
    /// Counts up from 1.
    pub number: u64,
    /// SHA-256 of the description before this one; none for the first.
    pub previous: Option<Digest>,
    /// When it was made, RFC 3339; may be empty.
    pub created: String,
    /// Bytes of tar stream per segment.
    pub segment_size: u64,
    /// Fewest bytes per block of a large file.
    pub block_size: u64,
    /// Who can open runs that are sealed while this description counts.
    pub recipients: Vec<Holder>,
}

impl Description {
    /// The description of a new vault.
    pub fn first(options: &InitOptions, recipients: Vec<Holder>, created: String) -> Result<Self> {
        check_sizes(options.segment_size, options.block_size)?;
        let mut id = [0; 16];
        crate::seal::random(&mut id)?;
        let description = Description {
            format: "lifeboat-vault".into(),
            version: VERSION,
            id: id.iter().map(|b| format!("{b:02x}")).collect(),
            number: 1,
            previous: None,
            created,
            segment_size: options.segment_size,
            block_size: options.block_size,
            recipients,
        };
        description.check_recipients()?;
        Ok(description)
    }

    /// Name of its object.
    pub fn object(&self) -> String {
        object(self.number)
    }

    /// The bytes of its object.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::invalid(self.object(), e.to_string()))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Recipients must be there, each once, and no two of one name.
    fn check_recipients(&self) -> Result<()> {
        if self.recipients.is_empty() {
            return Err(Error::invalid(self.object(), "a vault needs at least one recipient"));
        }
        for (at, holder) in self.recipients.iter().enumerate() {
            for other in &self.recipients[..at] {
                if other.recipient == holder.recipient {
                    return Err(Error::invalid(self.object(), format!("{} is there twice", holder.recipient)));
                }
                if !other.name.is_empty() && other.name == holder.name {
                    return Err(Error::invalid(self.object(), format!("two recipients are called {:?}", holder.name)));
                }
            }
        }
        Ok(())
    }
}

/// A description with the bytes that it was read from: what is verified must be what is used.
#[derive(Debug, Clone)]
pub struct Described {
    /// The description.
    pub description: Description,
    /// The bytes of its object.
    pub json: Vec<u8>,
}

impl Described {
    /// SHA-256 of its bytes.
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.json)
    }

    /// The description that follows this one, with other recipients.
    pub fn next(&self, recipients: Vec<Holder>, created: String) -> Result<Description> {
        let number = self.description.number + 1;
        let previous = Some(self.digest());
        let next = Description { number, previous, created, recipients, ..self.description.clone() };
        next.check_recipients()?;
        Ok(next)
    }

    /// What stands in for a description that is lost.
    pub(crate) fn salvaged(id: &str) -> Self {
        let InitOptions { segment_size, block_size, .. } = InitOptions::new(Vec::new());
        let description = Description {
            format: "lifeboat-vault".into(),
            version: VERSION,
            id: id.into(),
            number: 1,
            previous: None,
            created: String::new(),
            segment_size,
            block_size,
            recipients: Vec::new(),
        };
        Described { description, json: Vec::new() }
    }

    /// Reads the newest description and the chain that leads to it.
    pub(crate) fn read(store: &dyn Store) -> Result<Self> {
        let first = store.read(VAULT_JSON, LIMIT).map_err(|error| match error {
            Error::NotFound { .. } if store.list("manifests").is_ok_and(|names| !names.is_empty()) => error.listed(),
            other => other,
        })?;
        let mut newest = parse(VAULT_JSON, first)?;
        if newest.description.number != 1 || newest.description.previous.is_some() {
            return Err(Error::corrupt(VAULT_JSON, "is not the first description of a vault"));
        }
        for number in 2..=last(store)? {
            let name = object(number);
            let later = parse(&name, store.read(&name, LIMIT).map_err(Error::listed)?)?;
            if !newest.leads_to(&later, number) {
                return Err(Error::corrupt(name, "does not follow the description before it"));
            }
            newest = later;
        }
        Ok(newest)
    }

    fn leads_to(&self, later: &Self, number: u64) -> bool {
        let (old, new) = (&self.description, &later.description);
        new.number == number
            && new.previous == Some(self.digest())
            && (&new.id, new.segment_size, new.block_size) == (&old.id, old.segment_size, old.block_size)
    }
}

/// Stores a description with its signature. A signature that a cut left without its description is replaced.
pub(crate) fn put(store: &dyn Store, description: &Description, signature: Option<&[u8]>) -> Result<()> {
    let name = description.object();
    if let Some(signature) = signature {
        let beside = format!("{name}.sig");
        if store.size(&beside).is_ok() && matches!(store.size(&name), Err(Error::NotFound { .. })) {
            store.remove(&beside)?;
        }
        store.write_new(&beside, signature)?;
    }
    store.write_new(&name, &description.to_bytes()?)
}

fn object(number: u64) -> String {
    if number == 1 { VAULT_JSON.to_owned() } else { format!("{FOLDER}/{number}.json") }
}

/// Number of the newest description. Other files in the folder mean nothing.
fn last(store: &dyn Store) -> Result<u64> {
    let number = |name: String| name.strip_prefix("recipients/")?.strip_suffix(".json")?.parse().ok();
    Ok(store.list(FOLDER)?.into_iter().filter_map(number).max().unwrap_or(1))
}

fn parse(name: &str, json: Vec<u8>) -> Result<Described> {
    #[derive(Deserialize)]
    struct Version {
        format: String,
        version: u32,
    }
    let bad = |e: serde_json::Error| Error::corrupt(name, e.to_string());
    let head: Version = serde_json::from_slice(&json).map_err(bad)?;
    if head.format != "lifeboat-vault" {
        return Err(Error::corrupt(name, format!("format {:?} is no vault", head.format)));
    }
    if head.version != VERSION {
        return Err(Error::Unsupported { object: name.into(), what: format!("version {}", head.version) });
    }
    let description: Description = serde_json::from_slice(&json).map_err(bad)?;
    // What an argument may not be, a file that was written once cannot have come to be but by damage.
    check_sizes(description.segment_size, description.block_size)
        .map_err(|error| Error::corrupt(name, error.to_string().trim_start_matches("vault.json: ")))?;
    if description.id.len() != 32 || !description.id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::corrupt(name, "malformed id"));
    }
    Ok(Described { description, json })
}

pub(crate) fn check_sizes(segment_size: u64, block_size: u64) -> Result<()> {
    let fits = (4096..=1 << 30).contains(&segment_size) && (4096..=64 << 20).contains(&block_size);
    if fits && block_size <= segment_size {
        return Ok(());
    }
    Err(Error::invalid(VAULT_JSON, format!("segments of {segment_size} and blocks of {block_size} bytes")))
}
