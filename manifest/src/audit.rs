//! The audit log: a line for every operation, each bound to the one before it by its hash and signed by the host.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::key::{HostKey, PublicKey};
use crate::signature::{self, SignatureError};

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
    head: Digest,
}

impl AuditLog {
    /// Reads a log's text and checks every line's signature and place.
    ///
    /// # Errors
    /// [`AuditError`] naming the first line that does not hold.
    pub fn verify(text: &str, trusted: &[PublicKey]) -> Result<Self, AuditError> {
        let mut log = Self { lines: Vec::new(), head: Digest::of(b"") };
        for (index, stored) in text.lines().enumerate() {
            let number = index + 1;
            let content = |source| AuditError::Content { line: number, source };
            let signed: SignedLine = serde_json::from_str(stored).map_err(content)?;
            signature::check(trusted, NAMESPACE, signed.line.as_bytes(), signed.signature.as_bytes())
                .map_err(|source| AuditError::Signature { line: number, source })?;
            let line: AuditLine = serde_json::from_str(&signed.line).map_err(content)?;
            if line.previous != log.head || line.number != number as u64 {
                return Err(AuditError::Chain(number));
            }
            log.head = Digest::of(stored.as_bytes());
            log.lines.push(line);
        }
        Ok(log)
    }

    /// The operations, oldest first.
    #[must_use]
    pub fn lines(&self) -> &[AuditLine] {
        &self.lines
    }

    /// Hash of the last line: kept elsewhere, it shows that no line was cut off the end.
    #[must_use]
    pub fn head(&self) -> &Digest {
        &self.head
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
            previous: self.head.clone(),
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
}
