//! `lifeboat attest`: is a restored disk what the snapshot says, entry by entry? Nothing is mounted.

use layout::Bytes;

use crate::attest::{self, Attestation, Input, Verdict};
use crate::cli::Attest;
use crate::commands::Context;
use crate::exit::Exit;
use crate::progress::Bar;
use crate::reading::Opened;
use crate::{audit, identity};

/// Runs the command.
///
/// # Errors
/// When the vault or an image cannot be read, a signature is refused, or the key does not open the catalogue.
pub fn run(context: &Context, args: &Attest) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, &args.reading)?;
    let detail = format!("snapshot {} of {}", args.snapshot, opened.host);
    let result = compare(context, args, &opened);
    audit::noted(context, &opened.vault, "attest", &detail, result)
}

fn compare(context: &Context, args: &Attest, opened: &Opened) -> anyhow::Result<Exit> {
    let identities = identity::of(&opened.vault, &args.identity)?;
    let manifest = opened.unless_rolled_back(context, &args.snapshot, opened.choose(&args.snapshot)?)?;
    let bar = Bar::new("comparing");
    let attestation = attest::attest(&Input {
        images: &args.images,
        manifest: &manifest,
        vault: &opened.vault,
        identities: &identities,
        progress: &bar,
    })?;
    bar.finish();
    context.print(&attestation, || text(&attestation))?;
    Ok(match attestation.verdict {
        Verdict::Identical => Exit::Done,
        Verdict::Different => Exit::Failed,
    })
}

fn text(attestation: &Attestation) -> String {
    let mut text = format!(
        "snapshot {} of {}: {} entries, {} compared: {} differences, {} changed by the restore on purpose\n",
        attestation.snapshot,
        attestation.host,
        attestation.entries,
        Bytes(attestation.bytes),
        attestation.differences.len(),
        attestation.adapted.len()
    );
    for difference in &attestation.differences {
        text += &format!(
            "{}: {}: recorded {}, found {}\n",
            difference.path, difference.what, difference.expected, difference.found
        );
    }
    text
}
