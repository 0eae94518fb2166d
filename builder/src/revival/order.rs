//! Which guests come back, and in which order: those that others may wait for come first.
//!
//! Pure. Identifiers become names of files and arguments of programs, so they are checked here and nowhere else; a file in which one is not
//! what its platform gives is refused as a whole, for nobody sane has written it.

use std::collections::BTreeSet;

use guests::proxmox::VmId;
use manifest::HostName;
use manifest::host::{Guest, Platform, PlatformKind, Revival};

use crate::exit::{Exit, refusal};

/// Refuses what cannot have been meant.
///
/// # Errors
/// When the schema is unknown (1), or a name is none, or comes twice (21).
pub fn check(revival: &Revival) -> anyhow::Result<()> {
    if revival.schema != 1 {
        let message = format!(
            "this version knows schema 1 of the guests to bring back, and not {}; nothing was done",
            revival.schema
        );
        return Err(refusal(Exit::Failed, message));
    }
    let corrupt =
        |what: String| refusal(Exit::Corrupt, format!("the list of guests to bring back: {what}; nothing was done"));
    let mut seen = BTreeSet::new();
    for platform in &revival.platforms {
        if platform.kind != PlatformKind::Proxmox {
            check_names(platform).map_err(corrupt)?;
            continue;
        }
        if platform.node.parse::<HostName>().is_err() {
            return Err(corrupt(format!("{:?} is no name of a node", platform.node)));
        }
        for guest in &platform.guests {
            check_guest(guest).map_err(corrupt)?;
            if !seen.insert(guest.id.as_str()) {
                return Err(corrupt(format!("guest {} comes twice", guest.id)));
            }
        }
    }
    Ok(())
}

/// Identifiers of other platforms are names of files and keys of records, and no more.
fn check_names(platform: &Platform) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for id in platform.guests.iter().map(|guest| guest.id.as_str()) {
        if id.is_empty() || id.starts_with('.') || id.contains(|char: char| char == '/' || char.is_control()) {
            return Err(format!("{id:?} is no name of a guest of {}", platform.kind));
        }
        if !seen.insert(id) {
            return Err(format!("guest {id} of {} comes twice", platform.kind));
        }
    }
    Ok(())
}

fn check_guest(guest: &Guest) -> Result<(), String> {
    if guest.id.parse::<VmId>().is_err() {
        return Err(format!("{:?} is no number of a guest", guest.id));
    }
    let Some(archive) = &guest.archive else { return Ok(()) };
    let plain = archive.path.starts_with('/')
        && !archive.path.split('/').any(|part| part == "..")
        && !archive.path.chars().any(char::is_control);
    if !plain {
        return Err(format!("guest {}: {:?} is no path of an archive", guest.id, archive.path));
    }
    let storage = archive.storage.starts_with(|c: char| c.is_ascii_alphabetic())
        && archive.storage.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !storage {
        return Err(format!("guest {}: {:?} is no name of a storage", guest.id, archive.storage));
    }
    Ok(())
}

/// The guests of a platform: by their place, then those that start with the host, then the others; each by number.
pub fn guests(platform: &Platform) -> Vec<&Guest> {
    let mut guests: Vec<&Guest> = platform.guests.iter().collect();
    guests.sort_by_key(|guest| {
        let number = guest.id.parse::<u64>().unwrap_or(u64::MAX);
        (guest.order.unwrap_or(u32::MAX), guest.order.is_none(), !guest.starts, number, guest.id.clone())
    });
    guests
}

/// Refuses identifiers that no guest has.
///
/// # Errors
/// Exit 2.
pub fn check_named(revival: &Revival, only: &[String]) -> anyhow::Result<()> {
    let known =
        |id: &String| revival.platforms.iter().flat_map(|platform| &platform.guests).any(|guest| guest.id == *id);
    match only.iter().find(|id| !known(id)) {
        None => Ok(()),
        Some(id) => Err(refusal(
            Exit::Usage,
            format!("no guest {id} is to come back; `lifeboat guests status` lists those that are"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use manifest::host::{Archive, GuestKind, Held};

    use super::*;

    fn guest(id: &str, order: Option<u32>, starts: bool) -> Guest {
        let (name, kind) = (String::new(), GuestKind::Machine);
        Guest { id: id.to_owned(), name, kind, starts, order, archive: None, notes: Vec::new() }
    }

    fn revival(guests: Vec<Guest>) -> Revival {
        let platform = Platform {
            kind: PlatformKind::Proxmox,
            node: "pve1".to_owned(),
            cluster: Vec::new(),
            guests,
            notes: Vec::new(),
        };
        Revival { schema: 1, snapshot: 7, platforms: vec![platform] }
    }

    fn refused(revival: &Revival) -> String {
        check(revival).unwrap_err().to_string()
    }

    #[test]
    fn the_lowest_place_comes_first_and_numbers_are_numbers() {
        let all = revival(vec![
            guest("1000", None, true),
            guest("200", None, false),
            guest("101", Some(5), true),
            guest("300", None, true),
            guest("102", Some(1), false),
        ]);
        let ids: Vec<&str> = guests(&all.platforms[0]).iter().map(|guest| guest.id.as_str()).collect();
        assert_eq!(ids, ["102", "101", "300", "1000", "200"]);
    }

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        for id in ["../100", "100/..", "", "0100", "99", "100 --force", "-100"] {
            assert!(refused(&revival(vec![guest(id, None, true)])).contains("no number of a guest"), "{id}");
        }
        for node in ["..", "", "a/b", ".x"] {
            let mut one = revival(Vec::new());
            one.platforms[0].node = node.to_owned();
            assert!(refused(&one).contains("no name of a node"), "{node}");
        }
        for (path, storage) in
            [("a.vma", "local"), ("/a/../b", "local"), ("/a\nb", "local"), ("/a", "--force"), ("/a", "")]
        {
            let (path, storage) = (path.to_owned(), storage.to_owned());
            let (made, offline) = (String::new(), Vec::new());
            let archive = Archive { path, storage, bytes: 1, made, sha256: None, held: Held::Captured, offline };
            let one = revival(vec![Guest { archive: Some(archive), ..guest("100", None, true) }]);
            assert!(refused(&one).contains("guest 100: "), "{}", refused(&one));
        }
        assert!(refused(&revival(vec![guest("100", None, true), guest("100", None, true)])).contains("comes twice"));
        for id in ["../web", "", "a/b", ".x", "a\nb"] {
            let mut one = revival(vec![guest(id, None, true)]);
            one.platforms[0].kind = PlatformKind::Lxc;
            assert!(refused(&one).contains("no name of a guest of LXC"), "{id}");
        }
        assert!(refused(&Revival { schema: 2, ..revival(Vec::new()) }).contains("schema 1"));
        assert!(check_named(&revival(Vec::new()), &["100".to_owned()]).is_err());
    }
}
