//! `lifeboat guests`: the guests of this host's hypervisor and their archives.

mod check;
mod hook;
mod list;
mod restore;
mod status;
mod verify;

use crate::cli::Guests;
use crate::cluster;
use crate::commands::Context;
use crate::exit::Exit;

/// Runs the command.
///
/// # Errors
/// When an archive, the hypervisor's configuration, or the list of guests to bring back cannot be read.
pub fn run(context: &Context, asked: &Guests) -> anyhow::Result<Exit> {
    match asked {
        Guests::List(args) => list::run(context, args),
        Guests::Verify(args) => verify::run(context, args),
        Guests::Hook(args) => hook::run(context, args),
        Guests::LeaveCluster(args) => {
            cluster::leave(&args.database, &args.node, args.keep_others)?;
            Ok(Exit::Done)
        }
        Guests::Check(args) => check::run(context, args),
        Guests::Restore(args) => restore::run(context, args),
        Guests::Status(args) => status::run(context, args),
    }
}
