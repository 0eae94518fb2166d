//! Keep rules: which snapshots of one host stay, and why. Pure: numbers and times in, reasons out.
//!
//! A snapshot's place in the order is its number, not its time, so a clock that was set back changes nothing there.
//! Days, ISO weeks, months and years are those of UTC, which has no daylight saving: no day is met twice and none is
//! left out. "Within" counts back from the newest snapshot and not from today: a host that has been off for a year
//! does not lose what it has.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use manifest::Serial;
use serde::Serialize;

/// How many of which to keep; a rule that is 0 keeps nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the newest so many days that have any.
    pub daily: u32,
    /// The same by ISO week.
    pub weekly: u32,
    /// The same by month.
    pub monthly: u32,
    /// The same by year.
    pub yearly: u32,
    /// All that are no older than this, in seconds before the newest.
    pub within: i64,
}

impl Rules {
    /// Whether no rule keeps anything.
    pub fn keep_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a snapshot stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// By `keep-last`.
    Last,
    /// By `keep-daily`.
    Daily,
    /// By `keep-weekly`.
    Weekly,
    /// By `keep-monthly`.
    Monthly,
    /// By `keep-yearly`.
    Yearly,
    /// By `keep-within`.
    Within,
    /// The last snapshot of its host.
    Newest,
    /// The newest whose objects were all compared with their digests.
    Verified,
    /// The newest whose content was read and hashed.
    VerifiedData,
    /// The newest that was restored in a drill.
    Drilled,
}

impl Reason {
    /// As the plan says it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Last => "keep-last",
            Self::Daily => "keep-daily",
            Self::Weekly => "keep-weekly",
            Self::Monthly => "keep-monthly",
            Self::Yearly => "keep-yearly",
            Self::Within => "keep-within",
            Self::Newest => "newest of its host",
            Self::Verified => "newest verified",
            Self::VerifiedData => "newest verified with its content",
            Self::Drilled => "newest drilled",
        }
    }
}

/// Number and time of a snapshot.
pub type Dated = (Serial, Timestamp);

/// Reasons for each of `snapshots`, in the order given, which is by number. None: no rule keeps it.
pub fn apply(rules: &Rules, snapshots: &[Dated]) -> Vec<Vec<Reason>> {
    let mut reasons = vec![Vec::new(); snapshots.len()];
    let Some((_, newest)) = snapshots.last() else { return reasons };
    let within = newest.checked_sub(SignedDuration::from_secs(rules.within)).unwrap_or(Timestamp::MIN);
    let mut calendars = calendars(rules);
    for (age, ((_, time), reasons)) in snapshots.iter().zip(&mut reasons).rev().enumerate() {
        if age < rules.last as usize {
            reasons.push(Reason::Last);
        }
        let utc = time.to_zoned(TimeZone::UTC);
        reasons.extend(calendars.iter_mut().filter_map(|calendar| calendar.take(&utc)));
        if rules.within > 0 && *time >= within {
            reasons.push(Reason::Within);
        }
    }
    reasons
}

/// A way to divide time, and the stretches of it from which one was kept already.
struct Calendar {
    reason: Reason,
    limit: u32,
    period: fn(&Zoned) -> (i16, i16),
    met: HashSet<(i16, i16)>,
}

impl Calendar {
    /// Called from the newest snapshot to the oldest.
    fn take(&mut self, time: &Zoned) -> Option<Reason> {
        let room = self.met.len() < self.limit as usize;
        (room && self.met.insert((self.period)(time))).then_some(self.reason)
    }
}

fn calendars(rules: &Rules) -> [Calendar; 4] {
    let calendar = |reason, limit, period| Calendar { reason, limit, period, met: HashSet::new() };
    [
        calendar(Reason::Daily, rules.daily, |time| (time.year(), time.day_of_year())),
        calendar(Reason::Weekly, rules.weekly, |time| {
            let week = time.date().iso_week_date();
            (week.year(), i16::from(week.week()))
        }),
        calendar(Reason::Monthly, rules.monthly, |time| (time.year(), i16::from(time.month()))),
        calendar(Reason::Yearly, rules.yearly, |time| (time.year(), 0)),
    ]
}

#[cfg(test)]
mod tests;
