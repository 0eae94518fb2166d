//! Copying snapshots to another vault: what is to be carried, and whether the two vaults agree. No key is needed, and nothing is
//! believed that is not signed: each manifest is verified before an object of it is touched.
//!
//! The copy is the same vault, with the same id. A snapshot that is there stays as it is; an amended manifest takes the place of the one that it
//! amends, never the other way round. Two vaults that tell different stories under one number are refused.

mod apply;
mod standing;
#[cfg(test)]
mod tests;

pub use apply::{Done, apply, copy_audit};

use std::sync::Arc;

use manifest::{Digest, HostName, Serial, Verified};
use vault::{CopyPlan, CopyTarget, Store, Vault};

use crate::exit::{Exit, refusal};
use crate::location::Location;
use crate::reading::{Manifest, Opened, check_chain};

/// Which snapshots of each host.
#[derive(Clone, Debug)]
pub enum Pick {
    /// All.
    All,
    /// The newest ones.
    Last(usize),
    /// These numbers.
    Serials(Vec<u64>),
}

/// One snapshot that is to be at the target afterwards.
pub struct Snapshot {
    /// Its host.
    pub host: HostName,
    /// Its manifest, verified.
    pub manifest: Verified<Manifest>,
    /// The manifest's object.
    pub object: String,
    json: Vec<u8>,
    signature: Vec<u8>,
    /// It is there already, manifest and all; its objects may still have to be mended.
    pub present: bool,
    /// Manifests of the same snapshot at the target that this one amends.
    amends: Vec<String>,
    /// Objects to carry.
    pub plan: CopyPlan,
}

/// All that a copy would do.
pub struct Plan {
    /// The target has no vault yet.
    pub new: bool,
    /// Snapshots in the order in which they are copied: by host, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Hosts, each with its newest snapshot at the target afterwards.
    pub newest: Vec<(HostName, Serial, Digest)>,
    target: CopyTarget,
    store: Arc<dyn Store>,
}

impl Plan {
    /// Bytes to carry, manifests not counted.
    pub fn bytes(&self) -> u64 {
        self.snapshots.iter().map(|snapshot| snapshot.plan.bytes()).sum()
    }

    /// Objects to carry, manifests not counted.
    pub fn objects(&self) -> usize {
        self.snapshots.iter().map(|snapshot| snapshot.plan.missing.len() + snapshot.plan.damaged.len()).sum()
    }
}

/// Compares both sides. Reads manifests and lists names; writes nothing.
///
/// # Errors
/// When a manifest is refused (20), the target is another vault (30), or the two disagree (22).
pub fn plan(
    from: &Opened,
    hosts: &[HostName],
    pick: &Pick,
    store: Arc<dyn Store>,
    to: &Location,
    known: impl Fn(&Opened) -> anyhow::Result<Vec<Verified<Manifest>>>,
) -> anyhow::Result<Plan> {
    let other = open_target(from, &store, to)?;
    let target = CopyTarget::look(store.clone())?;
    // What an earlier snapshot brings along need not be carried for a later one.
    let mut planned = target.clone();
    let (mut snapshots, mut newest) = (Vec::new(), Vec::new());
    for host in hosts {
        let from = from.for_host(host.clone());
        let here = choose(known(&from)?, pick, host)?;
        let mut there = standing::read(other.as_ref(), &from, to)?;
        for manifest in here {
            let mut snapshot = read_snapshot(&from, manifest)?;
            standing::compare(&mut snapshot, &there, to)?;
            if !snapshot.present {
                there.retain(|old| old.serial() != snapshot.manifest.serial);
                there.push(standing::Held::new(snapshot.object.clone(), snapshot.manifest.clone()));
            }
            snapshot.plan = planned.plan(&snapshot.manifest.contents);
            planned.count(&snapshot.plan);
            snapshots.push(snapshot);
        }
        let chain = standing::in_order(there);
        check_chain(&chain).map_err(|error| {
            refusal(
                Exit::RolledBack,
                format!("{error:#}; {} and {to} tell two stories, nothing was copied", from.place()),
            )
        })?;
        newest.extend(chain.last().map(|last| (host.clone(), last.serial, last.digest().clone())));
    }
    Ok(Plan { new: other.is_none(), snapshots, newest, target, store })
}

/// The vault at the target; none when it has to be made.
fn open_target(from: &Opened, store: &Arc<dyn Store>, to: &Location) -> anyhow::Result<Option<Vault>> {
    let other = match Vault::open(store.clone()) {
        Err(vault::Error::NotFound { object }) if object == "vault.json" => return Ok(None),
        other => other?,
    };
    if other.id() == from.vault.id() {
        return Ok(Some(other));
    }
    Err(refusal(
        Exit::Guard,
        format!(
            "{to} is the vault {}, and {} is the vault {}: a copy has the id of what it is a copy of, so copy to an empty place; nothing was changed",
            other.id(),
            from.place(),
            from.vault.id()
        ),
    ))
}

fn choose(all: Vec<Verified<Manifest>>, pick: &Pick, host: &HostName) -> anyhow::Result<Vec<Verified<Manifest>>> {
    match pick {
        Pick::All => Ok(all),
        Pick::Last(count) => {
            let skip = all.len().saturating_sub(*count);
            Ok(all.into_iter().skip(skip).collect())
        }
        Pick::Serials(wanted) => {
            let missing = wanted.iter().find(|serial| all.iter().all(|one| one.serial.0 != **serial));
            if let Some(missing) = missing {
                return Err(refusal(Exit::NoVault, format!("there is no snapshot {missing} of {host} to copy")));
            }
            Ok(all.into_iter().filter(|one| wanted.contains(&one.serial.0)).collect())
        }
    }
}

/// The bytes of a manifest that has been verified; they must be the same ones.
fn read_snapshot(from: &Opened, manifest: Verified<Manifest>) -> anyhow::Result<Snapshot> {
    let (host, serial) = (from.host.clone(), manifest.serial);
    let (json, signature) = from.vault.manifest(host.as_str(), serial.0)?;
    if Digest::of(&json) != *manifest.digest() {
        let message = format!("the manifest of snapshot {serial} of {host} was changed while it was read; try again");
        return Err(refusal(Exit::Corrupt, message));
    }
    let object = standing::object_of(&from.vault, &host, serial)?;
    Ok(Snapshot {
        host,
        manifest,
        object,
        json,
        signature,
        present: false,
        amends: Vec::new(),
        plan: CopyPlan::default(),
    })
}
