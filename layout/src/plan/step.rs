//! What is done to a target: typed steps. Knows neither their order nor how they are carried out.

use serde::{Deserialize, Serialize};

use super::Device;
use crate::btrfs::Btrfs;
use crate::dos::DosTable;
use crate::ext::Ext;
use crate::luks::Luks;
use crate::lvm::{LogicalVolume, PhysicalVolume, VolumeGroup};
use crate::md::Array;
use crate::solve::NewTable;
use crate::swap::Swap;
use crate::units::Bytes;
use crate::vfat::Vfat;
use crate::xfs::Xfs;
use crate::zfs::{Dataset, Pool, Setting};

/// One thing that is done to a target. Doing it twice gives the same result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Keep what is overwritten and says what was there: boot code, partition tables, headers.
    Save {
        /// The disk.
        disk: String,
        /// First byte and length of each stretch, in disk order.
        regions: Vec<(Bytes, Bytes)>,
    },
    /// Zero boot code, boot partitions and the signatures of what was there, so that nothing of it boots or is found again.
    Clear {
        /// The disk.
        disk: String,
        /// First bytes of old and new partitions.
        starts: Vec<Bytes>,
        /// Their ends, before which software RAID may have its metadata.
        #[serde(default)]
        ends: Vec<Bytes>,
        /// Partitions that hold boot code and are zeroed in full: first byte and length.
        whole: Vec<(Bytes, Bytes)>,
    },
    /// Write the partition table, without boot code.
    WriteGpt {
        /// The disk.
        disk: String,
        /// The table.
        table: NewTable,
    },
    /// Write a DOS partition table, without boot code.
    WriteDos {
        /// The disk.
        disk: String,
        /// Its partitions.
        table: NewTable,
        /// What only a DOS table has.
        dos: DosTable,
    },
    /// Make an ext filesystem.
    MakeExt {
        /// Where.
        device: Device,
        /// What.
        ext: Ext,
        /// Size of its partition when it was recorded.
        old: Bytes,
        /// Size now.
        new: Bytes,
    },
    /// Make an XFS filesystem.
    MakeXfs {
        /// Where.
        device: Device,
        /// What.
        xfs: Xfs,
        /// Size of its device when it was recorded.
        old: Bytes,
        /// Size now.
        new: Bytes,
        /// Bytes of the disk's logical sector.
        logical_sector: u32,
    },
    /// Make a btrfs filesystem and its subvolumes.
    MakeBtrfs {
        /// Where, in the order of the devices' numbers.
        devices: Vec<Device>,
        /// What.
        btrfs: Btrfs,
    },
    /// Make a software RAID array and start it.
    MakeArray {
        /// What.
        array: Array,
        /// Its members; none for a place that stays empty.
        members: Vec<Option<Device>>,
    },
    /// Write the saved header of a LUKS container, and open it.
    MakeLuks {
        /// Where.
        device: Device,
        /// What.
        luks: Luks,
    },
    /// Make an LVM physical volume.
    MakePv {
        /// Where.
        device: Device,
        /// What.
        volume: PhysicalVolume,
    },
    /// Make an LVM volume group.
    MakeVg {
        /// What.
        group: VolumeGroup,
        /// Its physical volumes.
        devices: Vec<Device>,
    },
    /// Make an LVM logical volume and show its node.
    MakeLv {
        /// What.
        volume: LogicalVolume,
        /// Its size.
        size: Bytes,
        /// Bytes of an extent of its group.
        extent: Bytes,
    },
    /// Make a ZFS pool with its own dataset.
    MakePool {
        /// What.
        pool: Pool,
        /// The dataset of the same name.
        root: Dataset,
        /// Where, in the order of its vdevs.
        devices: Vec<Device>,
    },
    /// Make a ZFS filesystem or volume.
    MakeDataset {
        /// What.
        dataset: Dataset,
    },
    /// Make a FAT filesystem.
    MakeVfat {
        /// Where.
        device: Device,
        /// What.
        vfat: Vfat,
        /// Bytes of the disk's logical sector.
        logical_sector: u32,
    },
    /// Make a swap area.
    MakeSwap {
        /// Where.
        device: Device,
        /// What.
        swap: Swap,
    },
    /// Mount a filesystem below the target root.
    Mount {
        /// What.
        device: Device,
        /// Where in the restored system: `/`, `/home`.
        path: String,
        /// Filesystem type.
        fstype: String,
        /// Options in effect when it was captured.
        options: String,
        /// The subvolume that is shown, of a btrfs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subvolume: Option<String>,
    },
    /// Make subvolumes of a btrfs read-only again, once nothing is left to write.
    Lock {
        /// A device of the filesystem.
        device: Device,
        /// Their paths from its top.
        subvolumes: Vec<String>,
    },
    /// Set what would have been in the way of a restore on a pool, and what the system starts from.
    FinishPool {
        /// Its name.
        pool: String,
        /// The dataset that the system starts from.
        bootfs: Option<String>,
        /// Properties of its datasets.
        settings: Vec<Setting>,
    },
}

impl Step {
    /// Whether its result is found again after a restart without more ado. What has to be assembled, activated or unlocked first is
    /// made anew instead when a restore was cut.
    #[must_use]
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Save { .. }
                | Self::Clear { .. }
                | Self::WriteGpt { .. }
                | Self::MakeExt { .. }
                | Self::MakeXfs { .. }
                | Self::MakeVfat { .. }
                | Self::MakeSwap { .. }
        )
    }
}
