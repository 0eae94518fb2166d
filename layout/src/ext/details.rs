//! What of an ext filesystem is neither feature nor size: how it behaves on errors, how it lies on a RAID, its journal's length, and the settings
//! of single features. Read from the superblock, and given to `mke2fs` and `tune2fs` again.

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// The settings; a value of 0 or an empty list leaves one to `mke2fs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// What it does on an error, by tune2fs's name (`continue`, `remount-ro`, `panic`); empty where that is not known.
    pub errors: String,
    /// Blocks of a RAID chunk.
    pub stride: u32,
    /// Blocks of a RAID stripe.
    pub stripe_width: u32,
    /// Block groups that lie together (flex_bg).
    pub groups: u32,
    /// Bytes of a cluster (bigalloc).
    pub cluster_size: u32,
    /// Bytes of the journal.
    pub journal: Bytes,
    /// Kinds of quota that are kept (`usrquota`, `grpquota`, `prjquota`).
    pub quotas: Vec<String>,
    /// Names that are no UTF-8 are refused (casefold).
    pub strict_names: bool,
}

const BIGALLOC: u32 = 0x200;
const QUOTA: u32 = 0x100;
const CASEFOLD: u32 = 0x2_0000;

impl Details {
    /// Reads a superblock of full length.
    pub(super) fn read(superblock: &[u8], incompat: u32, ro_compat: u32) -> Self {
        let short = |at: usize| u16::from_le_bytes([superblock[at], superblock[at + 1]]);
        let word = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
        let quotas = [(0x240, "usrquota"), (0x244, "grpquota"), (0x26c, "prjquota")];
        let kept = quotas.iter().filter(|(at, _)| ro_compat & QUOTA != 0 && word(*at) != 0);
        Self {
            errors: match short(0x3c) {
                1 => "continue",
                2 => "remount-ro",
                3 => "panic",
                _ => "",
            }
            .to_owned(),
            stride: u32::from(short(0x164)),
            stripe_width: word(0x170),
            groups: 1u32.checked_shl(u32::from(superblock[0x174])).filter(|groups| *groups > 1).unwrap_or(0),
            cluster_size: if ro_compat & BIGALLOC == 0 { 0 } else { 1024u32.checked_shl(word(0x1c)).unwrap_or(0) },
            // A copy of the journal's inode ends with the upper and the lower half of its size.
            journal: Bytes(u64::from(word(0x148)) << 32 | u64::from(word(0x14c))),
            quotas: kept.map(|(_, name)| (*name).to_owned()).collect(),
            strict_names: incompat & CASEFOLD != 0 && short(0x27e) & 1 != 0,
        }
    }

    /// Words for `mke2fs -E`.
    pub(super) fn extended(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (name, value) in [("stride", self.stride), ("stripe_width", self.stripe_width)] {
            if value > 0 {
                words.push(format!("{name}={value}"));
            }
        }
        if !self.quotas.is_empty() {
            words.push(format!("quotatype={}", self.quotas.join(":")));
        }
        if self.strict_names {
            words.push("encoding_flags=strict".to_owned());
        }
        words
    }

    /// Arguments for `mke2fs` beside those. The journal keeps its length where the filesystem does not become `smaller`.
    pub(super) fn arguments(&self, smaller: bool) -> Vec<String> {
        let mut args = Vec::new();
        let mut say = |flag: &str, value: String| args.extend([flag.to_owned(), value]);
        if !self.errors.is_empty() {
            say("-e", self.errors.clone());
        }
        if self.groups > 0 {
            say("-G", self.groups.to_string());
        }
        if self.cluster_size > 0 {
            say("-C", self.cluster_size.to_string());
        }
        let mib = self.journal.0 >> 20;
        if mib > 0 && !smaller && self.journal.0.is_multiple_of(1 << 20) {
            say("-J", format!("size={mib}"));
        }
        args
    }
}
