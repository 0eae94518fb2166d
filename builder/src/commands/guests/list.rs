//! `lifeboat guests list`: guests of a Proxmox node, their newest backups, and what would not come back.

use guests::coverage::{Backup, Finding, Policy, Weight, findings, newest};
use guests::inventory::{Guest, Kind};
use guests::proxmox::inventory::{Inventory, Unread};
use jiff::{SignedDuration, Zoned};
use serde::Serialize;

use crate::capture::guests::archives::{self, Looked};
use crate::capture::guests::proxmox;
use crate::cli::ListGuests;
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

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    guest: Guest,
    newest: Option<Backup>,
}

pub(super) fn run(context: &Context, args: &ListGuests) -> anyhow::Result<Exit> {
    let tree = proxmox::read(&args.database)?;
    let inventory = Inventory::of(&tree);
    let node = node(args, &inventory.nodes)?;
    let (storages, backups) = archives::backups(&archives::storages(&tree)?, &node, &args.root);
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
