//! UEFI boot entries: those that the host had come back, once each and first in the order; old ones of the same system that start
//! nothing any more go; all others stay as they are.
//!
//! [`option`] is how an entry is written, [`store`] where. An entry is the same as another when it starts the same file on the same
//! partition, whatever its number or label. What is written is read back.

mod option;
mod store;

use std::collections::BTreeSet;
use std::io;

use layout::Guid;
use layout::plan::Plan;
use manifest::host::{EfiEntry, Host};

pub use self::option::{LoadOption, Place};
pub use self::store::Store;
use self::store::name;

/// Entries for what the host had, on the partitions that are made now; in the order in which the host's firmware tried them.
pub fn recorded(host: &Host, plan: &Plan) -> Vec<LoadOption> {
    let Some(boot) = &host.boot.efi else { return Vec::new() };
    let ordered = boot.order.iter().filter_map(|number| boot.entries.iter().find(|entry| entry.number == *number));
    let others = boot.entries.iter().filter(|entry| !boot.order.contains(&entry.number));
    ordered.chain(others).filter(|entry| entry.active).filter_map(|entry| renewed(entry, plan)).collect()
}

/// The entry for the partition as it is now: its place on the disk may be another one.
fn renewed(entry: &EfiEntry, plan: &Plan) -> Option<LoadOption> {
    let place = place(plan, entry.partition.as_ref()?)?;
    let data = bytes(&entry.raw).and_then(|raw| LoadOption::read(&raw)).map(|option| option.data).unwrap_or_default();
    Some(LoadOption::new(&entry.label, place, entry.file.as_ref()?, data))
}

/// Where a partition lies that the plan makes.
pub fn place(plan: &Plan, guid: &Guid) -> Option<Place> {
    let mut entries = plan.disks.iter().flat_map(|disk| disk.table.partitions.iter().map(|partition| &partition.entry));
    let entry = entries.find(|entry| entry.guid == *guid)?;
    Some(Place { number: entry.number, start: entry.first_lba, sectors: entry.sectors, guid: guid.clone() })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Brings the firmware's entries to what is `wanted`. `alive` are the partitions of all disks of this machine: an entry of one of the
/// wanted labels for a partition that is not among them is what an earlier restore, or the dead disk, left. Says what it did.
///
/// # Errors
/// When the variables cannot be written: read-only, full, or firmware that does not keep them.
pub fn settle(store: &Store, wanted: &[LoadOption], alive: &BTreeSet<Guid>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    // Firmware clears it when it has used it, some does not.
    if store.read("BootNext").is_some() {
        store.remove("BootNext")?;
        lines.push("what was left of BootNext removed".to_owned());
    }
    let mut first = Vec::new();
    let mut removed = BTreeSet::new();
    for option in wanted {
        let number = match one_of(store, option, &mut removed)? {
            Some(number) => number,
            None => store.free_number().ok_or_else(|| io::Error::other("no number is free for a boot entry"))?,
        };
        store.write(&name(number), &option.write())?;
        let file = option.file.as_deref().unwrap_or_default();
        lines.push(format!("boot entry {} {:?} starts {file}", name(number), option.label));
        first.push(number);
    }
    for (number, option) in store.entries() {
        let ours = wanted.iter().any(|wanted| wanted.label == option.label);
        let dead = option.partition.as_ref().is_some_and(|place| !alive.contains(&place.guid));
        if ours && dead && !first.contains(&number) {
            store.remove(&name(number))?;
            removed.insert(number);
            lines.push(format!("boot entry {} {:?}, for a disk that is gone, removed", name(number), option.label));
        }
    }
    let others = store.order().into_iter().filter(|number| !first.contains(number) && !removed.contains(number));
    let order: Vec<u16> = first.iter().copied().chain(others).collect();
    store.set_order(&order)?;
    Ok(lines)
}

/// The entry that starts what `wanted` starts. More of them are removed: they piled up.
fn one_of(store: &Store, wanted: &LoadOption, removed: &mut BTreeSet<u16>) -> io::Result<Option<u16>> {
    let mut same = store.entries().into_iter().filter(|(_, option)| same(option, wanted)).map(|(number, _)| number);
    let kept = same.next();
    for number in same {
        store.remove(&name(number))?;
        removed.insert(number);
    }
    Ok(kept)
}

fn same(one: &LoadOption, other: &LoadOption) -> bool {
    let file = |option: &LoadOption| option.file.as_ref().map(|file| file.to_lowercase());
    let partition = |option: &LoadOption| option.partition.as_ref().map(|place| place.guid.clone());
    // A kernel that is started with two command lines is two entries.
    file(one) == file(other) && partition(one) == partition(other) && one.data == other.data
}

#[cfg(test)]
mod tests;
