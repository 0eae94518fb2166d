//! `lifeboat guests list`: guests of a Proxmox node, their newest backups, and what would not come back.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use guests::coverage::{Backup, Finding, Policy, Weight, findings, newest};
use guests::inventory::{Guest, Kind};
use guests::proxmox::cluster::Tree;
use guests::proxmox::inventory::{Inventory, Unread};
use guests::proxmox::names::Folder;
use guests::proxmox::storage::{Storage, Storages};
use jiff::{SignedDuration, Zoned};
use serde::Serialize;

use crate::cli::ListGuests;
use crate::cluster;
use crate::commands::Context;
use crate::exit::{Exit, refusal};

/// What is printed as JSON.
#[derive(Serialize)]
struct Listed {
    schema: u32,
    verdict: &'static str,
    platform: &'static str,
    node: String,
    nodes: Vec<String>,
    clustered: bool,
    storages: Vec<Looked>,
    guests: Vec<Row>,
    unread: Vec<Unread>,
    findings: Vec<Finding>,
}

/// A storage that may hold backups.
#[derive(Serialize)]
struct Looked {
    id: String,
    /// The folder that was looked into, or the server that was not asked.
    place: String,
    /// Finished archives in it; none where it could not be looked into.
    archives: Option<usize>,
    /// What runs that were cut have left.
    unfinished: Vec<String>,
    /// Why it could not be looked into.
    why: Option<String>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    guest: Guest,
    newest: Option<Backup>,
}

pub(super) fn run(context: &Context, args: &ListGuests) -> anyhow::Result<Exit> {
    let tree = tree(&args.database)?;
    let inventory = Inventory::of(&tree);
    let node = node(args, &inventory.nodes)?;
    let (storages, backups) = backups(&tree, &node, &args.root)?;
    let policy = Policy { now: Zoned::now().datetime(), most_age: SignedDuration::from_secs(args.max_age) };
    let guests: Vec<Guest> = inventory.guests.into_iter().filter(|guest| guest.node == node).collect();
    let findings = findings(&guests, &backups, policy);
    let unread: Vec<Unread> = inventory.unread.into_iter().filter(|unread| unread.node == node).collect();
    let gap = findings.iter().any(|finding| finding.weight == Weight::Gap)
        || !unread.is_empty()
        || storages.iter().any(|storage| storage.archives.is_none());
    let row = |guest: Guest| Row { newest: newest(&guest, &backups).cloned(), guest };
    let listed = Listed {
        schema: 1,
        verdict: if gap { "gaps" } else { "covered" },
        platform: "proxmox",
        node,
        nodes: inventory.nodes,
        clustered: tree.is_clustered(),
        storages,
        guests: guests.into_iter().map(row).collect(),
        unread,
        findings,
    };
    context.print(&listed, || text(&listed))?;
    Ok(if gap { Exit::Warnings } else { Exit::Done })
}

/// The files of the database, from a consistent copy, which is removed again.
fn tree(database: &Path) -> anyhow::Result<Tree> {
    let folder = tempfile::tempdir().context("making a folder for a copy of the cluster database")?;
    let copy = folder.path().join("config.db");
    cluster::copy(database, &copy)?;
    cluster::read(&copy)
}

fn node(args: &ListGuests, nodes: &[String]) -> anyhow::Result<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = host.split('.').next().unwrap_or_default().to_owned();
    match (&args.node, nodes) {
        (Some(asked), _) if nodes.contains(asked) => Ok(asked.clone()),
        (None, _) if nodes.contains(&short) => Ok(short),
        (None, [only]) => Ok(only.clone()),
        (asked, _) => {
            let asked = asked.as_ref().unwrap_or(&short);
            let message =
                format!("the cluster database has no node {asked}; it has {}; name one by --node", nodes.join(", "));
            Err(refusal(Exit::Usage, message))
        }
    }
}

/// What each storage of the node holds.
fn backups(tree: &Tree, node: &str, root: &Path) -> anyhow::Result<(Vec<Looked>, Vec<Backup>)> {
    let text = String::from_utf8_lossy(tree.get("storage.cfg").unwrap_or_default()).into_owned();
    let storages = Storages::parse("storage.cfg", &text)?;
    let (mut looked, mut backups) = (Vec::new(), Vec::new());
    for storage in storages.with_backups(node) {
        looked.push(look(storage, root, &mut backups));
    }
    Ok((looked, backups))
}

fn look(storage: &Storage, root: &Path, backups: &mut Vec<Backup>) -> Looked {
    let unlooked = |place: String, why: &str| Looked {
        id: storage.id.clone(),
        place,
        archives: None,
        unfinished: Vec::new(),
        why: Some(why.to_owned()),
    };
    if let Some(server) = storage.backup_server() {
        return unlooked(server.repository, "a backup server, which is not asked");
    }
    let Some(dump) = storage.dump() else { return unlooked(storage.kind.clone(), "it has no folder") };
    let folder = root.join(dump.trim_start_matches('/'));
    let names = match names(&folder) {
        Ok(names) => names,
        Err(error) => return unlooked(dump, &error.to_string()),
    };
    let found = Folder::of(names.iter().map(String::as_str));
    let all = || found.finished.values().flatten();
    backups.extend(all().map(|archive| Backup {
        guest: archive.name.stem.guest.to_string(),
        place: format!("{dump}/{}", archive.name),
        made: archive.name.stem.time,
    }));
    let (archives, unfinished) = (Some(all().count()), found.unfinished.iter().map(ToString::to_string).collect());
    Looked { id: storage.id.clone(), place: dump, archives, unfinished, why: None }
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

fn text(listed: &Listed) -> String {
    let member = if listed.clustered { ", member of a cluster" } else { "" };
    let mut text = format!("node {}{member}\n", listed.node);
    for storage in &listed.storages {
        let held = match (storage.archives, &storage.why) {
            (Some(count), _) => format!("{count} archives"),
            (None, why) => format!("NOT LOOKED INTO: {}", why.as_deref().unwrap_or_default()),
        };
        text += &format!("storage {} ({}): {held}\n", storage.id, storage.place);
        storage.unfinished.iter().for_each(|stem| text += &format!("    left by a run that was cut: {stem}\n"));
    }
    for Row { guest, newest } in &listed.guests {
        let kind = if guest.kind == Kind::Machine { "machine" } else { "container" };
        let newest = newest.as_ref().map_or_else(|| "no backup".to_owned(), |backup| backup.place.clone());
        text += &format!("{kind} {} {}: {newest}\n", guest.id, guest.name);
        for finding in listed.findings.iter().filter(|finding| finding.guest == guest.id) {
            let word = if finding.weight == Weight::Gap { "GAP" } else { "note" };
            text += &format!("    {word}: {}\n", finding.text);
        }
    }
    listed.unread.iter().for_each(|unread| text += &format!("NOT READ: guest {}: {}\n", unread.id, unread.why));
    text
}
