//! `lifeboat guests status`: which guests of a restored host are back.

use serde::Serialize;

use crate::cli::GuestsStatus;
use crate::commands::Context;
use crate::exit::Exit;
use crate::revival::folder::Folder;
use crate::revival::record::Record;
use crate::revival::{order, standing};

/// What is printed as JSON.
#[derive(Serialize)]
struct Status {
    schema: u32,
    verdict: &'static str,
    snapshot: u64,
    /// Every guest is decided; the unit does not run again.
    done: bool,
    guests: Vec<Record>,
}

pub(super) fn run(context: &Context, args: &GuestsStatus) -> anyhow::Result<Exit> {
    let folder = Folder::at(&args.root);
    let (revival, digest) = folder.revival()?;
    order::check(&revival)?;
    let guests = standing::records(&folder, &revival, &digest)?;
    let well = standing::well(&guests);
    let done = folder.is_done(&digest);
    let verdict = if well { "restored" } else { "incomplete" };
    let status = Status { schema: 1, verdict, snapshot: revival.snapshot, done, guests };
    context.print(&status, || {
        let end = if done { "everything is decided" } else { "not everything is decided yet" };
        format!("guests of snapshot {}: {end}\n{}", status.snapshot, standing::table(&status.guests))
    })?;
    Ok(if well { Exit::Done } else { Exit::Warnings })
}
