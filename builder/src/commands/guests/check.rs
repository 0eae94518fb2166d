//! `lifeboat guests check`: guests that came back with a restored host are looked at before they start.

use std::time::Duration;

use serde::Serialize;

use crate::cli::CheckGuests;
use crate::commands::Context;
use crate::exit::Exit;
use crate::revival::record::Record;
use crate::revival::{Asked, check, standing};

/// What is printed as JSON.
#[derive(Serialize)]
struct Checked {
    schema: u32,
    verdict: &'static str,
    snapshot: u64,
    guests: Vec<Record>,
}

pub(super) fn run(context: &Context, args: &CheckGuests) -> anyhow::Result<Exit> {
    let (root, only) = (args.root.clone(), args.only.clone());
    let summary = check::run(&Asked { root, only, again: false, wait: Duration::from_secs(args.wait) })?;
    let mut guests = summary.guests;
    guests.retain(|record| check::is_by_files(record.platform));
    let well = standing::well(&guests);
    let verdict = if well { "complete" } else { "incomplete" };
    let checked = Checked { schema: 1, verdict, snapshot: summary.snapshot, guests };
    context.print(&checked, || standing::table(&checked.guests))?;
    Ok(if well { Exit::Done } else { Exit::Warnings })
}
