//! The machine behind a snapshot: storage, boot chain, network, hardware, and what of it is covered.

use layout::Layout;
use serde::{Deserialize, Serialize};

/// A captured machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its storage.
    pub layout: Layout,
}
