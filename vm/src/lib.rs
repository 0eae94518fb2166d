//! Starts, watches and ends QEMU machines, for drills and for tests.
//!
//! A [`Machine`] is a description: firmware, memory, disks. [`Machine::start`] makes a [`Running`] of it, and from then
//! on every wait has a deadline and ends at once when the console shows that the guest is lost (`Kernel panic`,
//! `grub>`, `Access Denied`, `emergency mode`) or QEMU has ended. Four wires lead into a guest:
//!
//! * the serial console: everything on it goes to a log file; [`Running::expect`] and [`Running::send`] talk to a
//!   person's side of it;
//! * the port `org.lifeboat.events`: one JSON object a line, written by the rescue system; verdicts come from here;
//! * the port `org.lifeboat.agent`: commands for a guest that was made for tests, see [`Running::run`];
//! * QMP, for pictures of the screen and for switching off.
//!
//! Two serial ports of a console would glue lines to control bytes; a virtio port has lines of its own, so no verdict
//! is ever read off a screen.
//!
//! QEMU is a process group that dies with the thread that started it. KVM is used only where a guest really runs
//! under it ([`Accel::probe`]): the device may exist and hang every guest.
//!
//! This crate knows nothing of sticks, vaults and snapshots.

mod accel;
mod agent;
mod args;
mod error;
mod machine;
mod media;
mod qmp;
mod running;
mod wire;

pub use accel::Accel;
pub use agent::Answer;
pub use error::VmError;
pub use machine::{Bus, Card, Disk, Firmware, Machine, Trouble};
pub use media::{blank, copy_sparse, fat_medium, sha256};
pub use running::Running;
