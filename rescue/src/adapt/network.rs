//! Network cards: an interface keeps its name when another card takes its place. Files that name the old card's address name the new one's; where
//! none does, a link file gives the new card the name.

use std::fs;
use std::io;
use std::path::Path;

use super::{Adaptation, files};
use crate::cards::{Cards, Heir};

/// Folders whose files may name a card by its address, and how such files end.
const FOLDERS: &[(&str, &[&str])] = &[
    ("etc/systemd/network", &[".link", ".network"]),
    ("usr/local/lib/systemd/network", &[".link", ".network"]),
    ("etc/udev/rules.d", &["-net.rules", "-net-names.rules"]),
    ("etc/NetworkManager/system-connections", &[".nmconnection"]),
    ("etc/netplan", &[".yaml"]),
];
const LINKS: &str = "etc/systemd/network";

/// Gives each new card the name of the one whose place it takes, in the restored system at `root`.
pub fn rename(root: &Path, cards: &Cards, done: &mut Adaptation) {
    done.not_adapted.extend(cards.lines().into_iter().skip(cards.heirs.len()));
    for (path, heirs) in named(root, cards) {
        let Some(text) = files::text(root, &path) else { continue };
        let changed = heirs.iter().fold(text, |text, heir| replaced(&text, &heir.old, &heir.new));
        let names: Vec<&str> = heirs.iter().map(|heir| heir.name.as_str()).collect();
        let reason = format!("another network card takes the place of {}", names.join(", "));
        if let Err(error) = files::change(root, &path, &changed, &reason, done) {
            done.not_adapted.push(format!("/{path} names a network card that is gone: {error}"));
        }
    }
    for heir in cards.heirs.iter().filter(|heir| !has_link(root, heir)) {
        if let Err(error) = link(root, heir, done) {
            let name = &heir.name;
            done.not_adapted.push(format!("the card {} could not be given the name {name}: {error}", heir.new));
        }
    }
}

/// Files that name an old address, with the cards that they name.
fn named<'a>(root: &Path, cards: &'a Cards) -> Vec<(String, Vec<&'a Heir>)> {
    let mut found = Vec::new();
    for (folder, ends) in FOLDERS {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| ends.iter().any(|end| name.ends_with(end))).collect();
        names.sort_unstable();
        for path in names.into_iter().map(|name| format!("{folder}/{name}")) {
            let text = files::text(root, &path).unwrap_or_default().to_lowercase();
            let heirs: Vec<&Heir> = cards.heirs.iter().filter(|heir| text.contains(&heir.old)).collect();
            if !heirs.is_empty() {
                found.push((path, heirs));
            }
        }
    }
    found
}

/// `text` with `new` for every `old`, whose letters may be of either case.
fn replaced(text: &str, old: &str, new: &str) -> String {
    let folded = text.to_ascii_lowercase();
    let mut out = String::new();
    let mut at = 0;
    while let Some(found) = folded[at..].find(old) {
        out += &text[at..at + found];
        out += new;
        at += found + old.len();
    }
    out + &text[at..]
}

/// Whether a link file names the new card, and so gives it its name.
fn has_link(root: &Path, heir: &Heir) -> bool {
    let only = Cards { heirs: vec![Heir { old: heir.new.clone(), ..heir.clone() }], missing: Vec::new() };
    named(root, &only).iter().any(|(path, _)| path.ends_with(".link") || path.ends_with(".rules"))
}

fn link(root: &Path, heir: &Heir, done: &mut Adaptation) -> io::Result<()> {
    if !root.join("etc/systemd").is_dir() {
        return Err(io::Error::other("the restored system has no systemd, which would do it"));
    }
    let Heir { name, old, new } = heir;
    let text = format!(
        "# Written by a restore: this card takes the place of {old}.\n[Match]\nMACAddress={new}\nType=ether\n\n[Link]\nName={name}\n"
    );
    let reason = format!("another network card takes the place of {name}");
    files::put(root, &format!("{LINKS}/10-lifeboat-{name}.link"), &text, 0o644, &reason, done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards() -> Cards {
        let heir =
            |name: &str, old: &str, new: &str| Heir { name: name.to_owned(), old: old.to_owned(), new: new.to_owned() };
        Cards {
            heirs: vec![
                heir("nic0", "bc:24:11:00:00:01", "02:00:00:00:00:0a"),
                heir("eno2", "bc:24:11:00:00:02", "02:00:00:00:00:0b"),
            ],
            missing: vec![("eno3".to_owned(), "bc:24:11:00:00:03".to_owned())],
        }
    }

    #[test]
    fn a_link_file_that_pins_the_old_card_pins_the_new_one_and_another_is_written_where_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc/systemd", "usr/local/lib/systemd/network", "etc/netplan"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let pinned = "usr/local/lib/systemd/network/50-pmx-nic0.link";
        fs::write(root.path().join(pinned), "[Match]\nMACAddress=BC:24:11:00:00:01\n[Link]\nName=nic0\n").unwrap();
        fs::write(root.path().join("etc/netplan/a.yaml"), "macaddress: bc:24:11:00:00:02 # bc:24:11:00:00:02\n")
            .unwrap();
        let mut done = Adaptation::default();
        rename(root.path(), &cards(), &mut done);
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!(read(pinned), "[Match]\nMACAddress=02:00:00:00:00:0a\n[Link]\nName=nic0\n");
        assert!(read(&format!("{pinned}.before-restore")).contains("BC:24"));
        assert_eq!(read("etc/netplan/a.yaml"), "macaddress: 02:00:00:00:00:0b # 02:00:00:00:00:0b\n");
        assert!(read("etc/systemd/network/10-lifeboat-eno2.link").contains("MACAddress=02:00:00:00:00:0b"));
        assert!(!root.path().join("etc/systemd/network/10-lifeboat-nic0.link").exists());
        assert_eq!(done.not_adapted.len(), 1, "{:?}", done.not_adapted);
        // Once more, as after a cut: nothing changes.
        rename(root.path(), &cards(), &mut Adaptation::default());
        assert!(read(&format!("{pinned}.before-restore")).contains("BC:24"));
    }
}
