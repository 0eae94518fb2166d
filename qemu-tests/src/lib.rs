//! What the scenarios and the demo share: the sample workstation, the stick that captured it, the rescue's events.
//!
//! A scenario is one file in `tests/`; it promises one thing in its name and passes only on a word from inside the
//! guest or on the hash of an image. Scenarios run `lifeboat` as a process, in the sample workstation or beside it;
//! they know the product by its command line, its events and its formats, never by its functions.
//!
//! Everything made on the way lies under `target/`: `vm-assets` (the sample's disk, kept until its scripts change),
//! `vm-state` (the captured stick, kept until the programs change), `vm-run` (what one scenario makes), `vm-logs`.

pub mod bare;
pub mod boot_marks;
pub mod capture;
pub mod census;
pub mod figures;
pub mod host;
pub mod layouts;
pub mod lifeboat;
pub mod other_keys;
pub mod place;
pub mod progress;
pub mod rescue;
pub mod sample;
pub mod scenario;
pub mod tamper;
