//! Restore orders: consent that was given beforehand, for one machine, its disks, one snapshot, one attempt.

use std::collections::BTreeSet;

use jiff::Timestamp;
use layout::Guid;
use layout::matching::NO_DISK;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::ids::{HostName, Serial};

/// A signed order: with it, and only with it, the rescue restores without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreOrder {
    /// Format number, [`FORMAT`](crate::FORMAT).
    pub format: u32,
    /// Its name: letters, digits and `-`; the file's name on the stick.
    pub id: HostName,
    /// The stick it may be used from.
    pub stick: Guid,
    /// The host whose snapshot is restored.
    pub host_name: HostName,
    /// The machine it may be used on.
    pub machine: Machine,
    /// The disks that may be overwritten: all of them, and no other.
    pub disks: Vec<DiskChoice>,
    /// What is restored.
    pub snapshot: SnapshotChoice,
    /// When it was made.
    pub created: Timestamp,
    /// From then on it is void.
    pub expires: Timestamp,
    /// What the machine does afterwards.
    pub then: Then,
    /// In which way a member of a cluster comes back; without it a member does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Membership>,
}

/// In which way a machine that was a member of a hypervisor's cluster comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Membership {
    /// As the member that it was: the cluster still counts it in, and it waits for the others.
    Same,
    /// On its own: the cluster has removed it, and goes on without it.
    Removed,
    /// On its own, with all that the cluster knew: the others are lost, and join it anew.
    Seed,
}

impl Document for RestoreOrder {
    const NAME: &'static str = "restore order";
    const NAMESPACE: &'static str = "lifeboat-order";

    fn host_name(&self) -> &HostName {
        &self.host_name
    }

    fn signed_at(&self) -> Timestamp {
        self.created
    }
}

/// The machine that an order is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// Any machine that has the named disks.
    Any,
    /// The one whose firmware reports this product UUID, in lower case.
    Product(String),
}

/// A disk that an order covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskChoice {
    /// Serial number of the disk in the machine that is restored; `-`: the recorded disk gets none, and what was on it is left out.
    pub target: String,
    /// Serial number of the recorded disk whose place it takes; none: the rescue matches them.
    pub recorded: Option<String>,
}

/// The snapshot that an order restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotChoice {
    /// The newest on the stick when it boots.
    Latest,
    /// This one.
    Serial(Serial),
}

/// What a machine does after a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Start the restored system.
    Reboot,
    /// Switch off.
    PowerOff,
}

/// What an order is held against.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// The stick that was booted.
    pub stick: &'a Guid,
    /// The host whose snapshots it holds.
    pub host_name: &'a HostName,
    /// Product UUID that this machine's firmware reports.
    pub product: Option<&'a str>,
    /// Serial numbers of the disks that the plan writes to; a disk without one is `None`.
    pub targets: Vec<Option<&'a str>>,
    /// The snapshot that the plan restores.
    pub snapshot: Serial,
    /// The newest snapshot on the stick.
    pub newest: Serial,
    /// Now.
    pub now: Timestamp,
    /// An attempt with this order was begun before.
    pub used: bool,
}

/// Why an order does not cover an attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderFault {
    /// It was used before.
    #[error("it has been used: an order is good for one attempt")]
    Used,
    /// It is void.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// The clock says that it was made later: the clock or the order is wrong.
    #[error("it was made at {0}, which is in the future by this machine's clock")]
    NotYet(Timestamp),
    /// It is for another stick.
    #[error("it is for the stick {0}")]
    Stick(Guid),
    /// It is for another host.
    #[error("it is for the host {0}")]
    Host(HostName),
    /// It is for another machine.
    #[error("it is for the machine {wanted}, and this one is {found}")]
    Machine {
        /// The machine it is for.
        wanted: String,
        /// The machine that this is.
        found: String,
    },
    /// The plan writes to other disks than the order names.
    #[error("it covers the disks {covered}, and the plan writes to {planned}")]
    Disks {
        /// Serials in the order.
        covered: String,
        /// Serials in the plan.
        planned: String,
    },
    /// It is for another snapshot.
    #[error("it is for snapshot {wanted}, and the plan restores {planned}")]
    Snapshot {
        /// The snapshot that it names.
        wanted: Serial,
        /// The one in the plan.
        planned: Serial,
    },
}

/// Clocks of dead machines are often a little off; an order from the near future is accepted.
const CLOCK_SLACK_SECONDS: i64 = 24 * 60 * 60;

impl RestoreOrder {
    /// Whether this order is consent to `attempt`.
    ///
    /// # Errors
    /// The first [`OrderFault`] found.
    pub fn covers(&self, attempt: &Attempt) -> Result<(), OrderFault> {
        if attempt.used {
            return Err(OrderFault::Used);
        }
        if attempt.now >= self.expires {
            return Err(OrderFault::Expired(self.expires));
        }
        if self.created.as_second() - attempt.now.as_second() > CLOCK_SLACK_SECONDS {
            return Err(OrderFault::NotYet(self.created));
        }
        if *attempt.stick != self.stick {
            return Err(OrderFault::Stick(self.stick.clone()));
        }
        if *attempt.host_name != self.host_name {
            return Err(OrderFault::Host(self.host_name.clone()));
        }
        self.covers_machine(attempt)?;
        self.covers_disks(attempt)?;
        let wanted = match self.snapshot {
            SnapshotChoice::Latest => attempt.newest,
            SnapshotChoice::Serial(serial) => serial,
        };
        if attempt.snapshot != wanted {
            return Err(OrderFault::Snapshot { wanted, planned: attempt.snapshot });
        }
        Ok(())
    }

    fn covers_machine(&self, attempt: &Attempt) -> Result<(), OrderFault> {
        let Machine::Product(wanted) = &self.machine else { return Ok(()) };
        match attempt.product {
            Some(found) if found.eq_ignore_ascii_case(wanted) => Ok(()),
            found => Err(OrderFault::Machine {
                wanted: wanted.clone(),
                found: found.unwrap_or("without a product UUID").to_owned(),
            }),
        }
    }

    fn covers_disks(&self, attempt: &Attempt) -> Result<(), OrderFault> {
        let targets = self.disks.iter().map(|disk| disk.target.as_str());
        let covered: BTreeSet<&str> = targets.filter(|target| *target != NO_DISK).collect();
        let named: BTreeSet<&str> = attempt.targets.iter().copied().flatten().collect();
        let all_named = named.len() == attempt.targets.len();
        if all_named && !named.is_empty() && covered == named {
            return Ok(());
        }
        let planned: Vec<&str> =
            attempt.targets.iter().map(|serial| serial.unwrap_or("a disk without serial")).collect();
        Err(OrderFault::Disks {
            covered: covered.into_iter().collect::<Vec<_>>().join(", "),
            planned: planned.join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> RestoreOrder {
        RestoreOrder {
            format: 1,
            id: "o1".parse().unwrap(),
            stick: Guid::new("0FC63DAF-8483-4772-8E79-3D69D8477DE4").unwrap(),
            host_name: "node".parse().unwrap(),
            machine: Machine::Product("aa".into()),
            disks: vec![DiskChoice { target: "D1".into(), recorded: None }],
            snapshot: SnapshotChoice::Latest,
            created: Timestamp::from_second(1_000_000).unwrap(),
            expires: Timestamp::from_second(2_000_000).unwrap(),
            then: Then::Reboot,
            cluster: None,
        }
    }

    fn attempt(order: &RestoreOrder) -> Attempt<'_> {
        Attempt {
            stick: &order.stick,
            host_name: &order.host_name,
            product: Some("AA"),
            targets: vec![Some("D1")],
            snapshot: Serial(2),
            newest: Serial(2),
            now: Timestamp::from_second(1_500_000).unwrap(),
            used: false,
        }
    }

    #[test]
    fn an_order_covers_just_what_it_names() {
        let order = order();
        assert_eq!(order.covers(&attempt(&order)), Ok(()));
    }

    #[test]
    fn a_disk_that_is_left_out_is_no_target() {
        let mut order = order();
        order.disks.push(DiskChoice { target: "-".into(), recorded: Some("DATA".into()) });
        assert_eq!(order.covers(&attempt(&order)), Ok(()));
        let wrong = Attempt { targets: vec![Some("D1"), Some("-")], ..attempt(&order) };
        assert!(order.covers(&wrong).is_err());
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let order = order();
        let other_stick = Guid::new("AAAAAAAA-8483-4772-8E79-3D69D8477DE4").unwrap();
        let other_host: HostName = "other".parse().unwrap();
        let base = || attempt(&order);
        let cases: Vec<(Attempt, &str)> = vec![
            (Attempt { used: true, ..base() }, "one attempt"),
            (Attempt { now: order.expires, ..base() }, "expired"),
            (Attempt { now: Timestamp::from_second(1_000).unwrap(), ..base() }, "future"),
            (Attempt { stick: &other_stick, ..base() }, "for the stick"),
            (Attempt { host_name: &other_host, ..base() }, "for the host"),
            (Attempt { product: Some("bb"), ..base() }, "for the machine"),
            (Attempt { product: None, ..base() }, "without a product UUID"),
            (Attempt { targets: vec![Some("D2")], ..base() }, "D2"),
            (Attempt { targets: vec![Some("D1"), Some("D2")], ..base() }, "D1, D2"),
            (Attempt { targets: vec![Some("D1"), None], ..base() }, "without serial"),
            (Attempt { targets: vec![Some("D1"), Some("D1")], ..base() }, "D1, D1"),
            (Attempt { targets: vec![], ..base() }, "covers the disks"),
            (Attempt { snapshot: Serial(1), ..base() }, "snapshot"),
        ];
        for (attempt, words) in cases {
            let fault = order.covers(&attempt).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault} / {words}");
        }
    }
}
