//! How the guests of a host that came back stand: which are there, and what each lacks of what it needs. The same look as a capture's.

use std::path::Path;

use manifest::host::PlatformKind;

use super::{Found, Hypervisor, One, Policy, docker, incus, libvirt, lxc, parts, podman};
use crate::capture::aside::Aside;
use crate::capture::source::Source;

/// A guest, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What its platform calls it.
    pub id: String,
    /// What it cannot do without and does not have, in words.
    pub missing: Vec<String>,
}

/// The guests of a platform whose files alone tell of them: libvirt, LXC. No program is started.
pub fn at_rest(root: &Path, kind: PlatformKind) -> Vec<Standing> {
    let source = Source::at_rest(root);
    let found = match kind {
        PlatformKind::Libvirt => look(&libvirt::Libvirt, &source),
        PlatformKind::Lxc => look(&lxc::Lxc, &source),
        _ => Ok(None),
    };
    found.ok().flatten().map(|found| of(found, &source)).unwrap_or_default()
}

/// The guests of a platform that is asked for them: Incus, Docker, Podman.
///
/// # Errors
/// Why it tells nothing, in words.
pub fn told(root: &Path, kind: PlatformKind) -> Result<Vec<Standing>, String> {
    let source = Source::new(root);
    let found = match kind {
        PlatformKind::Incus => look(&incus::Incus, &source),
        PlatformKind::Docker => look(&docker::Docker, &source),
        PlatformKind::Podman => look(&podman::Podman, &source),
        _ => Ok(None),
    };
    Ok(found?.map(|found| of(found, &source)).unwrap_or_default())
}

fn look(platform: &dyn Hypervisor, source: &Source) -> Result<Option<Found>, String> {
    let mut gaps = Vec::new();
    let found = platform.look(source, &Policy::default(), &mut Aside::default(), &mut gaps);
    match gaps.into_iter().next() {
        Some(gap) if found.as_ref().is_none_or(|found| found.guests.is_empty()) => {
            Err(format!("{}: {}", gap.what, gap.why))
        }
        _ => Ok(found),
    }
}

/// What a guest is lost to a capture by, that it runs or lies on another machine, says nothing of whether it is here.
fn of(found: Found, source: &Source) -> Vec<Standing> {
    let standing = |one: &One| Standing { id: one.guest.id.clone(), missing: parts::missing(one, source) };
    found.guests.iter().map(standing).collect()
}
