//! The audit log: a line for every operation, each bound to the one before it by its hash and signed by the host.
//!
//! A write that is cut, by a power failure, leaves a last line that is not whole. The next line then names its hash (`cut`) and follows the
//! last whole one, so that the log goes on and the scar is accounted for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::key::HostKey;
use crate::signature::{self, Claim, SignatureError};
use crate::trust::Signer;

const NAMESPACE: &str = "lifeboat-audit";

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLine {
    /// Counts up from 1.
    pub number: u64,
    /// When it ended.
    pub time: Timestamp,
    /// What was done: `init`, `create`, `backup`, `order`…
    pub operation: String,
    /// To what, and with which figures.
    pub detail: String,
    /// The exit code.
    pub exit: u8,
    /// SHA-256 of the line before, as it stands in the file; of nothing for the first.
    pub previous: Digest,
    /// SHA-256 of what a cut write left between that line and this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedLine {
    line: String,
    signature: String,
}

/// Why a log does not hold.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A line cannot be read.
    #[error("line {line} of the audit log cannot be read: {source}")]
    Content {
        /// Line number from 1.
        line: usize,
        /// What the parser found.
        source: serde_json::Error,
    },
    /// A line's signature does not count.
    #[error("line {line} of the audit log: {source}")]
    Signature {
        /// Line number from 1.
        line: usize,
        /// Why.
        source: SignatureError,
    },
    /// A line does not follow the one before it.
    #[error("line {0} of the audit log does not follow the line before it: a line was changed, added or taken out")]
    Chain(usize),
}

/// A log whose lines have been checked.
#[derive(Clone, Debug)]
pub struct AuditLog {
    lines: Vec<AuditLine>,
    hashes: Vec<Digest>,
    cut: Option<Digest>,
    ended: bool,
}

impl AuditLog {
    /// Reads a log's text and checks every line's signature and place. A last line that is not whole is no error, but [`cut`](Self::cut).
    ///
    /// # Errors
    /// [`AuditError`] naming the first line that does not hold.
    pub fn verify(text: impl AsRef<[u8]>, trusted: &[impl Clone + Into<Signer>]) -> Result<Self, AuditError> {
        let text = text.as_ref();
        let trusted: Vec<Signer> = trusted.iter().cloned().map(Into::into).collect();
        let ended = text.is_empty() || text.ends_with(b"\n");
        let mut log = Self { lines: Vec::new(), hashes: Vec::new(), cut: None, ended };
        let mut stored = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').enumerate().peekable();
        while let Some((index, line)) = stored.next().filter(|_| !text.is_empty()) {
            let last = stored.peek().is_none();
            log.take(index + 1, line, last, &trusted)?;
        }
        Ok(log)
    }

    fn take(&mut self, number: usize, stored: &[u8], last: bool, trusted: &[Signer]) -> Result<(), AuditError> {
        let content = |source| AuditError::Content { line: number, source };
        let signed: SignedLine = match serde_json::from_slice(stored) {
            Ok(signed) => signed,
            // Accounted for only if a whole line follows that names it, or if the write was the last one.
            Err(error) if error.is_eof() && self.cut.is_none() && (!last || !self.ended) => {
                self.cut = Some(Digest::of(stored));
                return Ok(());
            }
            Err(error) => return Err(content(error)),
        };
        let refused = |source| AuditError::Signature { line: number, source };
        let key = signature::check(trusted, NAMESPACE, signed.line.as_bytes(), signed.signature.as_bytes())
            .map_err(refused)?;
        let line: AuditLine = serde_json::from_str(&signed.line).map_err(content)?;
        signature::judge(trusted, &key, NAMESPACE, Claim { host: None, time: line.time }).map_err(refused)?;
        if line.previous != self.head() || line.number != self.lines.len() as u64 + 1 || line.cut != self.cut {
            return Err(AuditError::Chain(number));
        }
        self.cut = None;
        self.hashes.push(Digest::of(stored));
        self.lines.push(line);
        Ok(())
    }

    /// The operations, oldest first.
    #[must_use]
    pub fn lines(&self) -> &[AuditLine] {
        &self.lines
    }

    /// Hash of the last line: kept elsewhere, it shows that no line was cut off the end.
    #[must_use]
    pub fn head(&self) -> Digest {
        self.hashes.last().cloned().unwrap_or_else(|| Digest::of(b""))
    }

    /// Whether a line of this hash is in it, or was its head when it was empty.
    #[must_use]
    pub fn holds(&self, head: &Digest) -> bool {
        *head == Digest::of(b"") || self.hashes.contains(head)
    }

    /// SHA-256 of a last line that a cut write left; the next line accounts for it.
    #[must_use]
    pub fn cut(&self) -> Option<&Digest> {
        self.cut.as_ref()
    }

    /// Whether the stored text ends with a newline, so that a line can be appended as it is.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The text of the next line, newline included.
    ///
    /// # Errors
    /// [`SignatureError`] when it cannot be signed.
    pub fn next(&self, operation: &str, detail: &str, exit: u8, key: &HostKey) -> Result<String, SignatureError> {
        let line = AuditLine {
            number: self.lines.len() as u64 + 1,
            time: Timestamp::now(),
            operation: operation.to_owned(),
            detail: detail.to_owned(),
            exit,
            previous: self.head(),
            cut: self.cut.clone(),
        };
        let line = encode(&line);
        let signature = signature::sign(key, NAMESPACE, line.as_bytes())?;
        Ok(encode(&SignedLine { line, signature }) + "\n")
    }
}

/// JSON of a value that has no map with odd keys and no failing `Serialize`, and so always encodes.
#[expect(clippy::expect_used, reason = "plain structs of text and numbers cannot fail to encode")]
fn encode<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain structs encode")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(key: &HostKey, operations: &[&str]) -> String {
        let mut text = String::new();
        for operation in operations {
            let log = AuditLog::verify(&text, &[key.public()]).unwrap();
            text += &log.next(operation, "detail", 0, key).unwrap();
        }
        text
    }

    #[test]
    fn a_log_verifies_and_every_change_to_it_is_seen() {
        let key = HostKey::generate("x").unwrap();
        let text = log_of(&key, &["init", "backup", "backup"]);
        let trusted = [key.public()];
        assert_eq!(AuditLog::verify(&text, &trusted).unwrap().lines().len(), 3);
        let lines: Vec<&str> = text.lines().collect();
        for changed in [
            [lines[0], lines[2]].join("\n"),
            [lines[1], lines[0], lines[2]].join("\n"),
            [lines[0], lines[0], lines[1]].join("\n"),
            text.replace("init", "exit"),
        ] {
            assert!(AuditLog::verify(&changed, &trusted).is_err());
        }
    }

    #[test]
    fn a_cut_end_shows_in_the_head() {
        let key = HostKey::generate("x").unwrap();
        let text = log_of(&key, &["init", "backup"]);
        let whole = AuditLog::verify(&text, &[key.public()]).unwrap();
        let cut = AuditLog::verify(text.lines().next().unwrap(), &[key.public()]).unwrap();
        assert_ne!(whole.head(), cut.head());
    }

    #[test]
    fn a_line_that_a_power_failure_cut_is_accounted_for_by_the_next_one() {
        let key = HostKey::generate("x").unwrap();
        let trusted = [key.public()];
        let whole = log_of(&key, &["init", "backup"]);
        let first = whole.find('\n').unwrap() + 1;
        for cut in [first + 1, whole.len() - 20] {
            let mut text = whole[..cut].to_owned();
            let log = AuditLog::verify(&text, &trusted).unwrap();
            assert!(log.cut().is_some() && !log.ended() && log.lines().len() == 1, "{cut}");
            text += "\n";
            assert!(AuditLog::verify(&text, &trusted).is_err(), "a whole line that is damaged is no cut write");
            text += &log.next("verify", "", 0, &key).unwrap();
            assert_eq!(AuditLog::verify(&text, &trusted).unwrap().lines().len(), 2);
            let doctored = text.replacen(&whole[first..cut], &whole[first..cut - 1], 1);
            assert!(AuditLog::verify(&doctored, &trusted).is_err());
        }
        let without_newline = AuditLog::verify(whole.trim_end(), &trusted).unwrap();
        assert!(without_newline.cut().is_none() && !without_newline.ended() && without_newline.lines().len() == 2);
    }

    #[test]
    fn the_log_goes_on_under_a_new_key_and_the_old_one_signs_no_more() {
        let (old, new) = (HostKey::generate("old").unwrap(), HostKey::generate("new").unwrap());
        let mut text = log_of(&old, &["init"]);
        let until = Timestamp::now();
        let mut retired = Signer::from(old.public());
        retired.valid_before = Some(until);
        let trusted = [retired.clone(), Signer::from(new.public())];
        text += &AuditLog::verify(&text, &trusted).unwrap().next("key", "", 0, &new).unwrap();
        assert_eq!(AuditLog::verify(&text, &trusted).unwrap().lines().len(), 2);
        retired.valid_before = Some(until - jiff::SignedDuration::from_secs(10));
        let error = AuditLog::verify(&text, &[retired, Signer::from(new.public())]).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("until"), "{error}");
    }
}
