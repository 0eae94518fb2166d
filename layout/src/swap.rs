//! Swap areas.

pub mod header;
mod make;

use serde::{Deserialize, Serialize};

/// A swap area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// UUID in lower case.
    pub uuid: String,
    /// Label, empty where none is set.
    pub label: String,
}
