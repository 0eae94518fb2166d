//! Faults of an archive, each with its place; a hostile archive cannot make the list long.

use std::fmt;

use serde::Serialize;

/// Faults that are kept; the others are counted.
const KEPT: usize = 200;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: `extent 3 at byte 12800`, `device drive-scsi0`.
    pub object: String,
    /// What.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.what)
    }
}

/// Faults in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    faults: Vec<Fault>,
    /// How many more there are.
    more_faults: u64,
}

impl Faults {
    /// Adds one.
    pub fn add(&mut self, object: impl Into<String>, what: impl Into<String>) {
        if self.faults.len() < KEPT {
            self.faults.push(Fault { object: object.into(), what: what.into() });
        } else {
            self.more_faults += 1;
        }
    }

    /// None was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// How many were found.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.faults.len() as u64 + self.more_faults
    }

    /// How many of them are not kept.
    #[must_use]
    pub fn more(&self) -> u64 {
        self.more_faults
    }

    /// Those that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_ends_and_the_count_goes_on() {
        let mut faults = Faults::default();
        (0..1000).for_each(|at| faults.add(format!("extent {at}"), "is wrong"));
        assert_eq!((faults.iter().count(), faults.more(), faults.count()), (KEPT, 1000 - KEPT as u64, 1000));
        assert_eq!(faults.iter().next().unwrap().to_string(), "extent 0: is wrong");
    }
}
