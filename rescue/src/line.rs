//! A line while it is typed: what it holds, and what a console shows of it. Pure.

const RUB_OUT: &str = "\u{8} \u{8}";
const LONGEST: usize = 4096;
const TAB: u8 = 0x09;
/// Ctrl-U.
const CLEAR: u8 = 0x15;

/// A line that is not ended yet.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8>,
    secret: bool,
    /// Tab shows a secret for whoever is alone, and cannot trust the keyboard.
    shown: bool,
    on_screen: String,
}

impl Line {
    /// An empty one; of a `secret` one stars are shown.
    pub fn new(secret: bool) -> Self {
        Self { secret, ..Self::default() }
    }

    /// Takes a key; gives what is to be written, or the line's text when it is ended.
    pub fn key(&mut self, byte: u8) -> Result<String, String> {
        match byte {
            b'\r' | b'\n' => {
                let text = String::from_utf8_lossy(&self.bytes).into_owned();
                // A passphrase may begin or end with blanks.
                return Err(if self.secret { text } else { text.trim().to_owned() });
            }
            // A letter may be several bytes: those that follow the first begin with the bits 10.
            0x7f | 0x08 => while self.bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            CLEAR => self.bytes.clear(),
            TAB => self.shown = !self.shown,
            byte if byte >= 0x20 && self.bytes.len() < LONGEST => self.bytes.push(byte),
            _ => {}
        }
        Ok(self.redraw())
    }

    /// What makes a console that shows the line as it was show it as it is.
    fn redraw(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let new = if self.secret && !self.shown { "*".repeat(text.chars().count()) } else { text.into_owned() };
        let same = self.on_screen.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
        let gone = self.on_screen.chars().count() - same;
        let written = RUB_OUT.repeat(gone) + &new.chars().skip(same).collect::<String>();
        self.on_screen = new;
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &mut Line, keys: &str) -> String {
        keys.bytes().map(|byte| line.key(byte).unwrap()).collect()
    }

    #[test]
    fn a_secret_is_stars_until_tab_shows_it() {
        let mut line = Line::new(true);
        assert_eq!(typed(&mut line, "zy "), "***");
        assert_eq!(typed(&mut line, "\t"), format!("{}zy ", RUB_OUT.repeat(3)));
        assert_eq!(typed(&mut line, "x\t"), format!("x{}****", RUB_OUT.repeat(4)));
        assert_eq!(line.key(b'\r'), Err("zy x".to_owned()), "its blanks are kept");
    }

    #[test]
    fn letters_of_several_bytes_are_rubbed_out_whole() {
        let mut line = Line::new(false);
        typed(&mut line, " aä");
        assert_eq!(typed(&mut line, "\u{7f}"), RUB_OUT);
        assert_eq!(typed(&mut line, "\u{7f}\u{7f}\u{7f}"), RUB_OUT.repeat(2), "nothing is left to rub out");
        typed(&mut line, " b\u{15}c ");
        assert_eq!(line.key(b'\n'), Err("c".to_owned()));
        let mut secret = Line::new(true);
        assert_eq!(typed(&mut secret, "ä"), "*", "one star a letter");
    }
}
