//! Which machine and which system it was.

use serde::{Deserialize, Serialize};

/// What names a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The host's name.
    pub hostname: String,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// What `/etc/os-release` says.
    pub os: OsRelease,
    /// The processor's architecture as `uname -m` names it.
    pub architecture: String,
    /// What the firmware says of the machine; none in containers.
    pub dmi: Option<Dmi>,
}

/// The operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsRelease {
    /// `ID`: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`.
    pub version: String,
    /// `VERSION_CODENAME`: `bookworm`.
    pub codename: String,
    /// `PRETTY_NAME`.
    pub name: String,
}

/// What the firmware says of the machine; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dmi {
    /// Manufacturer.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Version of the product.
    pub version: String,
    /// Serial number of the machine.
    pub serial: String,
    /// UUID of the machine.
    pub uuid: String,
    /// Main board.
    pub board: String,
    /// Firmware version and date.
    pub firmware: String,
}
