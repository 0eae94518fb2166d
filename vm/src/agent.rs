//! Commands for a guest that was made for tests.
//!
//! The guest's side is a loop of a few lines of shell: it reads a line of base64, runs it in `sh`, and answers with
//! the output, each line behind `o:`, then `x:STATUS` on a line of its own. Since every line of output begins with
//! `o:`, none can be mistaken for the end. When it starts it says `hello`.

/// What a command in the guest did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status.
    pub status: i32,
    /// Standard output and standard error, as they came.
    pub output: Vec<u8>,
}

impl Answer {
    /// The output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// Puts an answer together from the agent's lines.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    lines: Vec<Vec<u8>>,
}

impl Assembly {
    /// Takes one line; gives the answer when it was the last.
    pub(crate) fn line(&mut self, line: &[u8]) -> Option<Answer> {
        if let Some(output) = line.strip_prefix(b"o:") {
            self.lines.push(output.to_vec());
            return None;
        }
        let status = std::str::from_utf8(line.strip_prefix(b"x:")?).ok()?.trim().parse().ok()?;
        let mut output = self.lines.join(&b'\n');
        if !self.lines.is_empty() {
            output.push(b'\n');
        }
        Some(Answer { status, output })
    }
}

/// The command as the line that the agent reads.
pub(crate) fn request(command: &str) -> String {
    let mut line = base64(command.as_bytes());
    line.push('\n');
    line
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let value = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..4 {
            let index = (value >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_stood_between_request_and_status() {
        let mut assembly = Assembly::default();
        for line in [&b"o:one"[..], b"o:x:0", b"o:", b""] {
            assert_eq!(assembly.line(line), None);
        }
        let answer = assembly.line(b"x:7").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (7, "one\nx:0\n\n"));
    }

    #[test]
    fn a_command_is_one_line_of_base64() {
        assert_eq!(request("ls"), "bHM=\n");
        assert_eq!(request("a\nb"), "YQpi\n");
        assert_eq!(request("echo"), "ZWNobw==\n");
    }
}
