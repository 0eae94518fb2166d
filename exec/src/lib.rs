//! The only owner of child processes: what is run, with which environment, for how long, and what went wrong.
//!
//! A child gets `LC_ALL=C`, an empty standard input unless bytes are given, and a time limit. A failure is one typed
//! error that shows the command line, the exit status and the end of what the child wrote to standard error, so that
//! callers never print a bare "command failed". [`Child`] is for what runs beside us, a machine; [`Group`] and [`Flow`] are for commands that
//! an administrator wrote, whose own children end with them. Nothing here knows what the tools do.

mod child;
mod chroot;
mod command;
mod error;
mod group;
mod terminal;

pub use child::Child;
pub use command::{Command, Output, find};
pub use error::{ExecError, Failure};
pub use group::{Flow, Group};
pub use terminal::on_terminal;
