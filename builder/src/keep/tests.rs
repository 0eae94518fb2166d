//! The rules against a model that states each as a sentence about all snapshots, with a calendar of its own; and
//! dates at which calendars trip.

use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400;

fn dated(times: &[i64]) -> Vec<Dated> {
    let at = |(index, second): (usize, &i64)| (Serial(index as u64 + 1), Timestamp::from_second(*second).unwrap());
    times.iter().enumerate().map(at).collect()
}

/// Days since 1970, years and months by the civil calendar (Hinnant's algorithm), weeks from the Monday before 1970.
fn civil(second: i64) -> (i64, i64, (i64, i64), i64) {
    let day = second.div_euclid(DAY);
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + late;
    (day, (day + 3).div_euclid(7), (year, month), year)
}

/// A snapshot is kept by a calendar rule when it is the last of its period, and fewer than `limit` periods are met
/// after it.
fn kept_by_period<P: PartialEq + Eq + std::hash::Hash + Copy>(periods: &[P], at: usize, limit: u32) -> bool {
    let later: HashSet<P> = periods[at + 1..].iter().copied().collect();
    !later.contains(&periods[at]) && later.len() < limit as usize
}

fn model(rules: &Rules, times: &[i64], at: usize) -> Vec<Reason> {
    let days: Vec<_> = times.iter().map(|time| civil(*time).0).collect();
    let weeks: Vec<_> = times.iter().map(|time| civil(*time).1).collect();
    let months: Vec<_> = times.iter().map(|time| civil(*time).2).collect();
    let years: Vec<_> = times.iter().map(|time| civil(*time).3).collect();
    let kept = [
        (Reason::Last, times.len() - at <= rules.last as usize),
        (Reason::Daily, kept_by_period(&days, at, rules.daily)),
        (Reason::Weekly, kept_by_period(&weeks, at, rules.weekly)),
        (Reason::Monthly, kept_by_period(&months, at, rules.monthly)),
        (Reason::Yearly, kept_by_period(&years, at, rules.yearly)),
        (Reason::Within, rules.within > 0 && times[at] >= times[times.len() - 1] - rules.within),
    ];
    kept.into_iter().filter(|(_, kept)| *kept).map(|(reason, _)| reason).collect()
}

fn rules() -> impl Strategy<Value = Rules> {
    (0..5u32, 0..9u32, 0..6u32, 0..5u32, 0..4u32, prop_oneof![Just(0), 1..400 * DAY]).prop_map(
        |(last, daily, weekly, monthly, yearly, within)| Rules { last, daily, weekly, monthly, yearly, within },
    )
}

/// Steps from one snapshot to the next: mostly forward by hours to weeks, sometimes back, as a clock that is set.
fn times() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![6 => 0..3 * DAY, 3 => 0..40 * DAY, 1 => -20 * DAY..0, 1 => Just(0)];
    (-3_000_000_000..5_000_000_000i64, proptest::collection::vec(step, 0..60)).prop_map(|(start, steps)| {
        steps
            .iter()
            .scan(start, |at, step| {
                *at += step;
                Some(*at)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn every_reason_is_the_one_that_the_model_gives(rules in rules(), times in times()) {
        let found = apply(&rules, &dated(&times));
        for (at, found) in found.iter().enumerate() {
            prop_assert_eq!(found, &model(&rules, &times, at), "snapshot {} of {:?}", at, times);
        }
    }

    #[test]
    fn a_rule_that_asks_for_more_never_keeps_less(rules in rules(), times in times(), more in 1..4u32) {
        let larger = Rules { daily: rules.daily + more, monthly: rules.monthly + more, ..rules.clone() };
        let (before, after) = (apply(&rules, &dated(&times)), apply(&larger, &dated(&times)));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before.iter().all(|reason| after.contains(reason)));
        }
    }

    #[test]
    fn any_rule_at_all_keeps_the_newest(rules in rules(), times in times()) {
        let found = apply(&rules, &dated(&times));
        if let Some(newest) = found.last() {
            prop_assert_eq!(newest.is_empty(), rules.keep_nothing());
        }
    }
}

fn kept(rules: &Rules, times: &[&str]) -> Vec<usize> {
    let seconds: Vec<i64> = times.iter().map(|time| time.parse::<Timestamp>().unwrap().as_second()).collect();
    let reasons = apply(rules, &dated(&seconds));
    reasons.iter().enumerate().filter(|(_, reasons)| !reasons.is_empty()).map(|(at, _)| at).collect()
}

#[test]
fn leap_days_and_turns_of_the_year_are_days_and_weeks_like_others() {
    let daily = Rules { daily: 9, ..Rules::default() };
    let leap = ["2028-02-28T23:00:00Z", "2028-02-29T01:00:00Z", "2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z"];
    assert_eq!(kept(&daily, &leap), [0, 2, 3]);
    // 2026-12-28 to 2027-01-03 is one ISO week, in two years.
    let weekly = Rules { weekly: 9, ..Rules::default() };
    let turn = ["2026-12-27T12:00:00Z", "2026-12-31T12:00:00Z", "2027-01-01T12:00:00Z", "2027-01-04T12:00:00Z"];
    assert_eq!(kept(&weekly, &turn), [0, 2, 3]);
    assert_eq!(kept(&Rules { yearly: 9, ..Rules::default() }, &turn), [1, 3]);
}

#[test]
fn the_hour_that_daylight_saving_repeats_belongs_to_one_day() {
    // 02:30 in Berlin, twice in that night: an hour apart in UTC, and both on the 25th.
    let times = ["2026-10-24T22:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
    assert_eq!(kept(&Rules { daily: 2, ..Rules::default() }, &times), [0, 2]);
}

#[test]
fn within_counts_back_from_the_newest_and_includes_its_border() {
    let times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"];
    assert_eq!(kept(&Rules { within: 7 * DAY, ..Rules::default() }, &times), [1, 2]);
}
