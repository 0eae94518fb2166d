//! Sizes and durations as people type them.

use std::time::Duration;

/// `8G`, `512M`, `4096` (bytes); units are binary.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("a number with K, M, G or T is wanted, such as 8G".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "a number with K, M, G or T is wanted, such as 8G".to_owned())?;
    number.checked_mul(1 << unit).ok_or_else(|| "too large".into())
}

/// `7d`, `12h`: seconds.
pub fn parse_days(text: &str) -> Result<i64, String> {
    let wanted = || "a number with h, d or w is wanted, such as 7d".to_owned();
    let mut chars = text.chars();
    let seconds = match chars.next_back() {
        Some('h') => 3600,
        Some('d') => 86_400,
        Some('w') => 7 * 86_400,
        _ => return Err(wanted()),
    };
    let number: u32 = chars.as_str().parse().map_err(|_| wanted())?;
    Ok(i64::from(number) * seconds)
}

/// `90s`, `5m`, `2h`, `1d`: a span that is not empty.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let wanted = || "a number with s, m, h or d is wanted, such as 5m".to_owned();
    let mut chars = text.chars();
    let seconds = match chars.next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(wanted()),
    };
    let number: u32 = chars.as_str().parse().ok().filter(|number| *number > 0).ok_or_else(wanted)?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_read_as_typed() {
        assert_eq!(parse("8G"), Ok(8 << 30));
        assert_eq!(parse("512MiB"), Ok(512 << 20));
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse_days("7d"), Ok(7 * 86_400));
        for bad in ["", "G", "8X", "-1G", "99999999999T"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_span("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "5", "m", "0s", "-1s", "5 m"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        for bad in ["", "7", "d", "-1d", "ü"] {
            assert!(parse_days(bad).is_err(), "{bad}");
        }
    }
}
