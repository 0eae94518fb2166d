//! `lifeboat guests list`: guests of this host, the newest backups of those of Proxmox, and what would not come back.

use std::path::Path;

use ::guests::coverage::{Backup, Finding, Policy, Weight, findings, newest};
use ::guests::inventory::{Guest, Kind};
use ::guests::proxmox::inventory::{Inventory, Unread};
use jiff::{SignedDuration, Zoned};
use manifest::host::{Gap, GuestKind, Note, Platform};
use serde::Serialize;

use crate::capture::guests::archives::{self, Looked};
use crate::capture::guests::{self, proxmox};
use crate::cli::ListGuests;
use crate::commands::Context;
use crate::exit::{Exit, refusal};

/// What is printed as JSON: the fields of a node of Proxmox, where this host is one, and the other platforms.
#[derive(Serialize)]
struct Listed {
    schema: u32,
    verdict: &'static str,
    #[serde(flatten)]
    node: Option<Node>,
    others: Vec<Platform>,
    unasked: Vec<Gap>,
}

/// A node of Proxmox.
#[derive(Serialize)]
struct Node {
    platform: &'static str,
    node: String,
    nodes: Vec<String>,
    clustered: bool,
    storages: Vec<Looked>,
    guests: Vec<Row>,
    unread: Vec<Unread>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    guest: Guest,
    newest: Option<Backup>,
}

pub(super) fn run(context: &Context, args: &ListGuests) -> anyhow::Result<Exit> {
    let policy = guests::Policy { libvirt: args.libvirt.clone(), ..guests::Policy::default() };
    let (others, unasked) = guests::beside_proxmox(&args.root, &policy);
    let usual = args.root.join(proxmox::DATABASE.trim_start_matches('/'));
    let none = others.is_empty() && unasked.is_empty();
    // Where there is nothing at all, the error names the file that a node would have.
    let database = args.database.clone().or_else(|| (none || usual.exists()).then_some(usual));
    let node = database.map(|database| of_proxmox(args, &database)).transpose()?;
    let lost = |platform: &Platform| platform.guests.iter().any(|guest| guest.notes.iter().any(|note| note.gap));
    let gap = node.as_ref().is_some_and(Node::has_gap) || others.iter().any(lost) || !unasked.is_empty();
    let listed = Listed { schema: 1, verdict: if gap { "gaps" } else { "covered" }, node, others, unasked };
    context.print(&listed, || text(&listed))?;
    Ok(if gap { Exit::Warnings } else { Exit::Done })
}

fn of_proxmox(args: &ListGuests, database: &Path) -> anyhow::Result<Node> {
    let tree = proxmox::read(database)?;
    let inventory = Inventory::of(&tree);
    let node = node(args, &inventory.nodes)?;
    let (storages, backups) = archives::backups(&archives::storages(&tree)?, &node, &args.root);
    let policy = Policy { now: Zoned::now().datetime(), most_age: SignedDuration::from_secs(args.max_age) };
    let guests: Vec<Guest> = inventory.guests.into_iter().filter(|guest| guest.node == node).collect();
    let findings = findings(&guests, &backups, policy);
    let unread = inventory.unread.into_iter().filter(|unread| unread.node == node).collect();
    let row = |guest: Guest| Row { newest: newest(&guest, &backups).cloned(), guest };
    Ok(Node {
        platform: "proxmox",
        node,
        nodes: inventory.nodes,
        clustered: tree.is_clustered(),
        storages,
        guests: guests.into_iter().map(row).collect(),
        unread,
        findings,
    })
}

impl Node {
    fn has_gap(&self) -> bool {
        self.findings.iter().any(|finding| finding.weight == Weight::Gap)
            || !self.unread.is_empty()
            || self.storages.iter().any(|storage| storage.archives.is_none())
    }
}

fn node(args: &ListGuests, nodes: &[String]) -> anyhow::Result<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let found = match &args.node {
        Some(asked) => nodes.iter().find(|node| *node == asked).cloned(),
        None => proxmox::node(&host, nodes),
    };
    found.ok_or_else(|| {
        let asked = args.node.as_ref().unwrap_or(&host);
        let message =
            format!("the cluster database has no node {asked}; it has {}; name one by --node", nodes.join(", "));
        refusal(Exit::Usage, message)
    })
}

fn text(listed: &Listed) -> String {
    let mut text = listed.node.as_ref().map(text_of_node).unwrap_or_default();
    listed.others.iter().for_each(|platform| text += &text_of(platform));
    listed.unasked.iter().for_each(|gap| text += &format!("NOT READ: {}: {}\n", gap.what, gap.why));
    text
}

fn text_of(platform: &Platform) -> String {
    let word = |note: &Note| format!("    {}: {}\n", if note.gap { "GAP" } else { "note" }, note.text);
    let mut text = format!("{}\n", platform.kind);
    text.extend(platform.notes.iter().map(word));
    for guest in &platform.guests {
        let kind = if guest.kind == GuestKind::Machine { "machine" } else { "container" };
        text += &format!("{kind} {} {}\n", guest.id, guest.name);
        text.extend(guest.notes.iter().map(word));
    }
    text
}

fn text_of_node(listed: &Node) -> String {
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
