//! Disks of running guests that lie still while they are read. Not yet.
use guests::libvirt::Disk;
use manifest::host::Gap;

use super::told::Seen;
use crate::capture::aside::Aside;
use crate::capture::guests::Policy;
use crate::capture::source::Source;

pub(super) struct Still;

pub(super) struct Laid {
    pub(super) note: String,
    pub(super) overlays: Vec<String>,
}

impl Still {
    pub(super) fn begin(_: &Policy, _: &str, _: &Aside, _: &mut Vec<Gap>) -> Self {
        Self
    }

    pub(super) fn lay(&mut self, _: &Seen, _: &[&Disk], _: &Source, _: &mut Aside) -> Result<Laid, String> {
        Err("stop it for the backup, or keep what `virsh backup-begin` writes where it is captured".to_owned())
    }

    pub(super) fn keep_until_read(self, _: &mut Aside) {}
}
