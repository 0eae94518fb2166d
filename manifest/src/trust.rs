//! The trust root: what a stick's rescue system believes before it has read anything else.

use jiff::Timestamp;
use layout::Guid;
use serde::{Deserialize, Serialize};

use crate::ids::{HostName, Serial, VaultId};
use crate::key::PublicKey;
use crate::slot::SlotName;

/// Baked into the initramfs as `/etc/lifeboat/trust.json`. Not signed: it is what signatures are checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRoot {
    /// Format number, [`FORMAT`](crate::FORMAT).
    pub format: u32,
    /// The stick's disk GUID: the rescue finds its stick by it, never by a label.
    pub stick: Guid,
    /// The slot that this initramfs lies in.
    pub slot: SlotName,
    /// The vault on the stick.
    pub vault: VaultId,
    /// The host whose snapshots it holds.
    pub host_name: HostName,
    /// Whose signatures count.
    pub signers: Vec<PublicKey>,
    /// The newest serial when the slot was written: a stick whose newest snapshot is older was rolled back. 0 when there was none.
    pub newest_serial: Serial,
    /// When the slot was written.
    pub created: Timestamp,
}
