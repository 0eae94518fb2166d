//! One disk of a plan: what is on it, which recorded disk takes its place, and the table that it gets.

use serde::{Deserialize, Serialize};

use super::PlanError;
use super::text::{describe_content, describe_recorded, describe_whole};
use crate::disk::Table;
use crate::dos::DosTable;
use crate::gpt::BIOS_BOOT;
use crate::graph::{Kind, Layout, Node, NodeId};
use crate::matching::{Match, MatchError, Present, Why};
use crate::solve::dos::{out_of_reach, solve_dos};
use crate::solve::whole::solve_whole;
use crate::solve::{Geometry, NewTable, solve_gpt};
use crate::units::Bytes;

/// What happens to one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskPlan {
    /// The present disk, with what is on it and is destroyed.
    pub target: Present,
    /// The recorded disk whose place it takes.
    pub recorded: NodeId,
    /// The recorded disk for people: kernel name, serial number, size.
    pub recorded_text: String,
    /// The recorded disk, to be printed beside the present one.
    pub old: OldDisk,
    /// Why this disk.
    pub why: Why,
    /// The table that is made; without partitions where the disk has none.
    pub table: NewTable,
    /// What only a DOS table has; none where a GPT is made, or no table at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dos: Option<DosTable>,
    /// What each partition will hold, for people, in the order of the table.
    pub contents: Vec<String>,
}

/// A recorded disk as the plan prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OldDisk {
    /// The kernel's name on the captured host.
    pub path: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its size in bytes.
    pub size: Bytes,
}

/// Solves the table of one disk.
pub(super) fn plan_disk(layout: &Layout, found: &Match, present: &[Present]) -> Result<DiskPlan, PlanError> {
    let unknown = || MatchError::NoSuchTarget { target: found.path.clone(), present: String::new() };
    let target = present.iter().find(|disk| disk.path == found.path).ok_or_else(unknown)?;
    let recorded = layout.node(&found.recorded).ok_or_else(unknown)?;
    let recorded_text = describe_recorded(recorded);
    let geometry = Geometry { size: target.size, logical_sector: target.disk.logical_sector };
    let solved = match recorded_table(recorded) {
        Some(Table::Dos(_)) => {
            solve_dos(layout, &found.recorded, geometry, None).map(|(table, dos)| (table, Some(dos)))
        }
        Some(Table::None) => solve_whole(layout, &found.recorded, geometry).map(|table| (table, None)),
        _ => solve_gpt(layout, &found.recorded, geometry, None).map(|table| (table, None)),
    };
    let (table, dos) = solved.map_err(|source| PlanError::Solve {
        disk: target.to_string(),
        recorded: recorded_text.clone(),
        source,
    })?;
    let contents = match table.partitions.as_slice() {
        [] => vec![describe_whole(layout, recorded)],
        partitions => partitions.iter().map(|partition| describe_content(layout, partition)).collect(),
    };
    Ok(DiskPlan {
        target: target.clone(),
        recorded: found.recorded.clone(),
        recorded_text,
        old: old_disk(recorded),
        why: found.why,
        table,
        dos,
        contents,
    })
}

fn old_disk(node: &Node) -> OldDisk {
    let (model, serial) = match &node.kind {
        Kind::Disk(disk) => (disk.model.clone(), disk.serial.clone()),
        _ => (String::new(), None),
    };
    OldDisk { path: node.path.clone(), model, serial, size: node.size }
}

fn recorded_table(node: &Node) -> Option<&Table> {
    match &node.kind {
        Kind::Disk(disk) => Some(&disk.table),
        _ => None,
    }
}

impl DiskPlan {
    /// Whether GRUB for BIOS starts from it: firmware of that kind, and GRUB for it, read sectors of 512 bytes only.
    #[must_use]
    pub fn starts_by_bios(&self) -> bool {
        self.table.logical_sector == 512 && self.had_bios_boot()
    }

    /// GRUB for BIOS has a place on it: a partition of its own, or the gap behind a DOS table where the host had it.
    fn had_bios_boot(&self) -> bool {
        let partition = self.table.partitions.iter().any(|part| part.entry.type_guid.as_str() == BIOS_BOOT);
        partition || self.dos.as_ref().is_some_and(|table| table.boot_code)
    }

    /// A word on a disk that GRUB for BIOS was on and cannot be on.
    pub(super) fn by_uefi_only(&self) -> Option<String> {
        let sector = self.table.logical_sector;
        (self.had_bios_boot() && !self.starts_by_bios()).then(|| {
            format!(
                "{} has sectors of {sector} bytes: it starts by UEFI only, and GRUB for BIOS is not put on it",
                self.target.path
            )
        })
    }

    /// A word on what a DOS table leaves unused at the end of a large disk.
    pub(super) fn unreachable(&self) -> Option<String> {
        let geometry = Geometry { size: self.target.size, logical_sector: self.target.disk.logical_sector };
        let lost = self.dos.as_ref().map(|_| out_of_reach(geometry)).filter(|lost| lost.0 > 0)?;
        Some(format!("the last {lost} of {} stay unused: a DOS partition table does not reach them", self.target.path))
    }
}
