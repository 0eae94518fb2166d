//! `lifeboat guests`: the guests of this host's hypervisor and their archives.

mod list;
mod verify;

use crate::cli::Guests;
use crate::cluster;
use crate::commands::Context;
use crate::exit::Exit;

/// Runs the command.
///
/// # Errors
/// When an archive or the hypervisor's configuration cannot be read.
pub fn run(context: &Context, asked: &Guests) -> anyhow::Result<Exit> {
    match asked {
        Guests::List(args) => list::run(context, args),
        Guests::Verify(args) => verify::run(context, args),
        Guests::LeaveCluster(args) => {
            cluster::leave(&args.database, &args.node, args.keep_others)?;
            Ok(Exit::Done)
        }
    }
}
