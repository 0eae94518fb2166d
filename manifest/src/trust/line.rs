//! One line of an allowed signers file: principals, options, key. The grammar is that of ssh-keygen(1), ALLOWED SIGNERS.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};

use super::{Signer, TrustError};

/// Reads a line; none for a blank line, a comment, a certificate authority or a key of another kind. Principals may be missing, as in a bare
/// public key: then it is everybody's.
pub fn parse(line: &str) -> Result<Option<Signer>, TrustError> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (first, rest) = word(line)?;
    let (principals, rest) = if is_key_kind(&first) { ("*".to_owned(), line) } else { (first.replace('"', ""), rest) };
    let (next, after) = word(rest)?;
    let (options, key) = if is_key_kind(&next) { (String::new(), rest) } else { (next, after) };
    let mut words = key.split_whitespace();
    let (Some(kind), Some(encoded)) = (words.next(), words.next()) else { return Err(TrustError::NoKey) };
    let limits = Limits::parse(&options)?;
    if kind != "ssh-ed25519" || limits.authority {
        return Ok(None);
    }
    let key =
        format!("{kind} {encoded}").parse().map_err(|error: crate::KeyError| TrustError::Key(error.to_string()))?;
    let Limits { namespaces, valid_after, valid_before, .. } = limits;
    Ok(Some(Signer { key, principals, namespaces, valid_after, valid_before }))
}

/// Writes the line that [`parse`] reads, times in UTC.
pub fn write(signer: &Signer, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let quoted = |name: &str, value: &str| format!("{name}=\"{value}\"");
    let time = |name: &str, time: &Timestamp| quoted(name, &time.strftime("%Y%m%d%H%M%SZ").to_string());
    let options: Vec<String> = [
        signer.namespaces.as_deref().map(|patterns| quoted("namespaces", patterns)),
        signer.valid_after.as_ref().map(|after| time("valid-after", after)),
        signer.valid_before.as_ref().map(|before| time("valid-before", before)),
    ]
    .into_iter()
    .flatten()
    .collect();
    write!(f, "{} ", signer.principals)?;
    if !options.is_empty() {
        write!(f, "{} ", options.join(","))?;
    }
    write!(f, "{}", signer.key)
}

#[derive(Default)]
struct Limits {
    authority: bool,
    namespaces: Option<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

impl Limits {
    fn parse(options: &str) -> Result<Self, TrustError> {
        let mut limits = Self::default();
        for option in split(options) {
            let bad = || TrustError::Option(option.to_owned());
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => {
                    (name, Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or_else(bad)?))
                }
                None => (option, None),
            };
            // ssh-keygen takes names of options in any case, and each at most once.
            match (name.to_ascii_lowercase().as_str(), value) {
                ("cert-authority", None) if !limits.authority => limits.authority = true,
                ("namespaces", Some(value)) if limits.namespaces.is_none() => {
                    limits.namespaces = Some(value.to_owned())
                }
                ("valid-after", Some(value)) if limits.valid_after.is_none() => limits.valid_after = Some(time(value)?),
                ("valid-before", Some(value)) if limits.valid_before.is_none() => {
                    limits.valid_before = Some(time(value)?);
                }
                _ => return Err(bad()),
            }
        }
        match (limits.valid_after, limits.valid_before) {
            (Some(after), Some(before)) if before <= after => Err(TrustError::Option("valid-before".to_owned())),
            _ => Ok(limits),
        }
    }
}

/// By name and not by beginning: a host may be called `ssh-gate`.
fn is_key_kind(word: &str) -> bool {
    let kind = word.strip_suffix("@openssh.com").unwrap_or(word);
    let kind = kind.strip_suffix("-cert-v01").unwrap_or(kind);
    let kind = kind.strip_prefix("sk-").unwrap_or(kind);
    matches!(kind, "ssh-ed25519" | "ssh-rsa" | "ssh-dss")
        || kind.strip_prefix("ecdsa-sha2-nistp").is_some_and(|curve| matches!(curve, "256" | "384" | "521"))
}

/// The first word, in which blanks may stand between quotation marks, and what follows it.
fn word(text: &str) -> Result<(String, &str), TrustError> {
    let text = text.trim_start();
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && c.is_whitespace()
    });
    if quoted && end.is_none() {
        return Err(TrustError::Option(text.to_owned()));
    }
    let (first, rest) = text.split_at(end.unwrap_or(text.len()));
    Ok((first.to_owned(), rest))
}

/// Splits at commas outside quotation marks.
fn split(options: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = options.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c == ','
    });
    parts.filter(|part| !part.is_empty())
}

/// A time as OpenSSH writes it; without `Z` in this system's time zone.
fn time(text: &str) -> Result<Timestamp, TrustError> {
    let bad = || TrustError::Time(text.to_owned());
    let (digits, zone) = match text.strip_suffix('Z') {
        Some(digits) => (digits, TimeZone::UTC),
        None => (text, TimeZone::system()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let padded = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(bad()),
    };
    let parsed: DateTime =
        strtime::parse("%Y%m%d%H%M%S", &padded).and_then(|time| time.to_datetime()).map_err(|_| bad())?;
    Ok(parsed.to_zoned(zone).map_err(|_| bad())?.timestamp())
}
