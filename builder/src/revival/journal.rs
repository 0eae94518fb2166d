//! What happened, in order: a line of JSON in the log, and one for people on standard error, which the unit shows on the console.
//!
//! Only ever appended to. What cannot be written to the log is said and stops nothing: the guests matter more.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;

use super::record::{Phase, Record};

/// The log of a run.
#[derive(Debug)]
pub struct Journal {
    file: Option<File>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: jiff::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    text: &'a str,
}

impl Journal {
    /// Appends to the file.
    pub fn open(path: &Path) -> Self {
        match OpenOptions::new().append(true).create(true).mode(0o600).open(path) {
            Ok(file) => Self { file: Some(file) },
            Err(error) => {
                eprintln!(
                    "lifeboat: the log {} cannot be written: {error}; the run goes on without it",
                    path.display()
                );
                Self { file: None }
            }
        }
    }

    /// Says something of the run as a whole.
    pub fn say(&self, text: &str) {
        eprintln!("lifeboat: {text}");
        self.append(&Line { time: jiff::Timestamp::now(), platform: None, guest: None, phase: None, text });
    }

    /// Says where a guest is.
    pub fn guest(&self, record: &Record, text: &str) {
        let name = if record.name.is_empty() { String::new() } else { format!(" {}", record.name) };
        eprintln!("lifeboat: guest {}{name}: {}: {text}", record.id, record.phase.word());
        let platform = Some(Record::platform_word(record.platform));
        self.append(&Line {
            time: jiff::Timestamp::now(),
            platform,
            guest: Some(&record.id),
            phase: Some(record.phase),
            text,
        });
    }

    fn append(&self, line: &Line<'_>) {
        let Some(mut file) = self.file.as_ref() else { return };
        let written = serde_json::to_string(line).map_err(std::io::Error::from).and_then(|text| {
            // One call for a line: a run that is cut leaves no half of one.
            file.write_all(format!("{text}\n").as_bytes())?;
            file.sync_data()
        });
        if let Err(error) = written {
            eprintln!("lifeboat: the log cannot be written: {error}");
        }
    }
}
