//! The bodies of the fuzz targets: each takes any bytes, and panics where the code under test does, or where it contradicts itself.
//!
//! Under libFuzzer (`make fuzz`) they are fed by coverage; in `tests/corpus.rs` by the committed corpus and mutations of it.
//! A crash that libFuzzer finds becomes a file in `corpus/`. The target for `config.toml` is in the builder, which owns it.

mod archive;
mod guest;
mod machine;
mod signed;
#[path = "../../builder/src/capture/table.rs"]
#[allow(dead_code, reason = "the builder uses all of it")]
mod table;

pub use archive::{catalogue, key_file, member, vault_json};
pub use guest::{guest_archive, guest_config};
pub use machine::{gpt, plan, probe};
pub use signed::{manifest, order, signature};

/// A target: its name, which is that of its corpus folder too, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("catalogue", catalogue),
    ("gpt", gpt),
    ("guest_archive", guest_archive),
    ("guest_config", guest_config),
    ("key_file", key_file),
    ("manifest", manifest),
    ("member", member),
    ("order", order),
    ("plan", plan),
    ("probe", probe),
    ("signature", signature),
    ("vault_json", vault_json),
];
