//! A host for tests of the command: a state folder with a signing key, and a vault with small segments and blocks, so that small
//! trees cross every border.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(dead_code, reason = "each test program uses its own part")]

#[path = "../host/mod.rs"]
mod host;

use std::ops::Deref;

use host::Host;

/// The host and where its things are: `tree`, `vault`, `id.txt`, `state`, `out`.
pub struct Site(Host);

impl Deref for Site {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl Site {
    /// A host with an empty vault, and no tree yet.
    pub fn new() -> Self {
        let site = Self(Host::new());
        site.ok(INIT);
        site
    }
}

const INIT: &[&str] =
    &["init", "--vault", "VAULT", "--identity", "ID", "--yes", "--segment-size", "256K", "--block-size", "16K"];
pub const BACKUP: &[&str] = &["backup", "--vault", "VAULT", "--source", "TREE"];
pub const VERIFY: &[&str] = &["verify", "--vault", "VAULT", "--level", "data", "--identity", "ID"];
pub const EXTRACT: &[&str] = &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT"];
pub const RESUME: &[&str] = &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT", "--resume"];
