//! QEMU's own command port: JSON lines, one answer for each command, events between them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

/// QEMU answers at once unless the machine is overloaded.
const LIMIT: Duration = Duration::from_secs(60);

/// The command port of one machine.
#[derive(Debug)]
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Takes the greeting and enters command mode.
    pub(crate) fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.line()?;
        qmp.command("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command; gives what it returns.
    pub(crate) fn command(&mut self, name: &str, arguments: &Value) -> std::io::Result<Value> {
        let mut text = json!({"execute": name, "arguments": arguments}).to_string();
        text.push('\n');
        self.reader.get_mut().write_all(text.as_bytes())?;
        loop {
            let answer = self.line()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                let reason = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
                return Err(std::io::Error::other(reason.to_owned()));
            }
        }
    }

    fn line(&mut self) -> std::io::Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(std::io::Error::other)
    }
}
