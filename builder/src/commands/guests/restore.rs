//! `lifeboat guests restore`: guests of a restored host come back from their archives.

use std::time::Duration;

use serde::Serialize;

use crate::cli::RestoreGuests;
use crate::commands::Context;
use crate::exit::Exit;
use crate::revival::record::Record;
use crate::revival::standing::{self, Planned};
use crate::revival::{self, Asked};

/// What is printed as JSON.
#[derive(Serialize)]
struct Restored {
    schema: u32,
    verdict: &'static str,
    snapshot: u64,
    guests: Vec<Record>,
    later: Vec<String>,
}

/// What is printed as JSON before anything is done.
#[derive(Serialize)]
struct Plan {
    schema: u32,
    verdict: &'static str,
    guests: Vec<Planned>,
}

pub(super) fn run(context: &Context, args: &RestoreGuests) -> anyhow::Result<Exit> {
    let (root, only) = (args.root.clone(), args.only.clone());
    let asked = Asked { root, only, again: args.again, wait: Duration::from_secs(args.wait) };
    if args.dry_run {
        let plan = Plan { schema: 1, verdict: "planned", guests: standing::plan(&asked)? };
        context.print(&plan, || plan.guests.iter().map(text).collect())?;
        return Ok(Exit::Done);
    }
    let summary = revival::run(&asked)?;
    let (verdict, exit) = match (summary.later.is_empty(), standing::well(&summary.guests)) {
        (false, _) => ("later", Exit::Later),
        (true, false) => ("incomplete", Exit::Warnings),
        (true, true) => ("restored", Exit::Done),
    };
    let (snapshot, guests, later) = (summary.snapshot, summary.guests, summary.later);
    let restored = Restored { schema: 1, verdict, snapshot, guests, later };
    context.print(&restored, || {
        let later: String = restored
            .later
            .iter()
            .map(|why| format!("NOT YET: {why}; try again by `lifeboat guests restore`\n"))
            .collect();
        standing::table(&restored.guests) + &later
    })?;
    Ok(exit)
}

fn text(planned: &Planned) -> String {
    format!("{} {}: {}\n", planned.id, planned.name, planned.plan)
}
