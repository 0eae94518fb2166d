//! A guest that the rescue was to bring back itself, before the first start: by its word and what is there now, how it ends.

use guests::inventory::Kind;
use guests::proxmox::config::Config;
use manifest::host::{Archive, Guest, GuestKind, OfflineGuest};

use super::volumes::Presence;
use crate::revival::platform::Ended;

/// How the guest ends by the rescue's `word`; none where it is to be restored as others are.
pub fn ended(word: &OfflineGuest, presence: Option<&Presence>, archive: &Archive) -> Option<Ended> {
    let names = word.volumes.join(", ");
    match (&word.failed, presence) {
        (None, Some(Presence::All(_))) => {
            let text = format!(
                "the rescue brought its disks back ({names}) from the archive of {}; its configuration is the host's own",
                archive.made
            );
            Some(Ended::Restored(text))
        }
        // What is half written must not be taken for its disks.
        (Some(why), Some(Presence::All(_) | Presence::Part { .. })) if !word.volumes.is_empty() => {
            Some(Ended::Failed(format!(
                "the rescue could not bring it back: {why}; what it has half written is still there: remove {names} (`lvremove`)"
            )))
        }
        _ => None,
    }
}

/// Why the rescue did not bring it back, to be told beside how it came back.
pub fn failure(word: &OfflineGuest) -> Option<String> {
    let why = word.failed.as_ref()?;
    Some(format!("the rescue did not bring it back before the first start: {why}"))
}

/// What of the host's own configuration does not fit disks that came back from an archive.
pub fn notes(config: Option<&str>, guest: &Guest) -> Vec<String> {
    let kind = if guest.kind == GuestKind::Machine { Kind::Machine } else { Kind::Container };
    let parsed = config.and_then(|text| Config::parse(&guest.id, kind, text).ok());
    let Some(config) = parsed else { return Vec::new() };
    let id = &guest.id;
    let mut notes: Vec<String> = config
        .snapshots
        .iter()
        .map(|(name, _)| {
            format!("its snapshot {name} did not come back and is still in its configuration: `qm delsnapshot {id} {name} --force`")
        })
        .collect();
    if let Some(lock) = config.current.get("lock") {
        notes.push(format!(
            "it is locked ({lock}), as when the host was captured, and does not start: `qm unlock {id}`"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use manifest::host::Held;

    use super::*;

    fn word(volumes: &[&str], failed: Option<&str>) -> OfflineGuest {
        let volumes = volumes.iter().map(|name| (*name).to_owned()).collect();
        OfflineGuest { id: "100".to_owned(), volumes, failed: failed.map(str::to_owned) }
    }

    fn archive() -> Archive {
        let (path, storage, made) = ("/a.vma".to_owned(), "local".to_owned(), "2024-01-02T03:04:05".to_owned());
        Archive { path, storage, bytes: 1, made, sha256: None, held: Held::Captured, offline: Vec::new() }
    }

    #[test]
    fn the_rescues_word_counts_only_as_far_as_the_disks_bear_it_out() {
        let all = Presence::All(vec!["fast:vm-100-disk-0".to_owned()]);
        let part = Presence::Part { there: vec!["a".to_owned()], missing: vec!["b".to_owned()] };
        let end = |word: &OfflineGuest, presence: Option<&Presence>| ended(word, presence, &archive());
        let back = word(&["pve/vm-100-disk-0"], None);
        assert!(matches!(end(&back, Some(&all)), Some(Ended::Restored(text)) if text.contains("pve/vm-100-disk-0")));
        assert!(
            end(&back, Some(&part)).is_none()
                && end(&back, Some(&Presence::None)).is_none()
                && end(&back, None).is_none()
        );
        let removed = word(&[], Some("the pool is full"));
        assert!(end(&removed, Some(&Presence::None)).is_none() && end(&removed, Some(&all)).is_none());
        let left = word(&["pve/vm-100-disk-0"], Some("the pool is full"));
        assert!(
            matches!(end(&left, Some(&all)), Some(Ended::Failed(text)) if text.contains("remove pve/vm-100-disk-0"))
        );
        assert!(end(&left, Some(&Presence::None)).is_none());
    }

    #[test]
    fn snapshots_and_a_lock_in_the_hosts_configuration_are_named() {
        let guest = Guest {
            id: "100".to_owned(),
            name: String::new(),
            kind: GuestKind::Machine,
            starts: true,
            order: None,
            archive: None,
            notes: Vec::new(),
        };
        let text = "lock: backup\nscsi0: fast:vm-100-disk-0\n\n[before]\nsnaptime: 1\n";
        let notes = notes(Some(text), &guest);
        assert!(notes[0].contains("qm delsnapshot 100 before") && notes[1].contains("qm unlock 100"), "{notes:?}");
    }
}
