//! Content that compresses to about half, as prose, logs and configuration do.

use crate::random::Random;

/// Words that lines are made of.
const WORDS: u64 = 4096;
/// Characters of numbers and digests, 6 bits each.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A vocabulary, the same for every tree.
#[derive(Debug)]
pub struct Text {
    words: Vec<Vec<u8>>,
}

impl Text {
    /// Makes the vocabulary.
    pub fn new() -> Self {
        let word = |part| {
            let mut random = Random::new(0x776f_7264, part);
            (0..2 + random.below(9)).map(|_| b'a' + random.below(26) as u8).collect()
        };
        Self { words: (0..WORDS).map(word).collect() }
    }

    /// Appends lines to `out` until it holds `length` bytes: five words, then a token that no other line has.
    pub fn fill(&self, random: &mut Random, out: &mut Vec<u8>, length: usize) {
        while out.len() < length {
            for _ in 0..5 {
                // Squared: a few words are frequent, most are rare, as in any language.
                let at = random.below(WORDS) * random.below(WORDS) / WORDS;
                out.extend_from_slice(&self.words[at as usize]);
                out.push(b' ');
            }
            let mut bits = random.next();
            for _ in 0..10 {
                out.push(DIGITS[(bits % 64) as usize]);
                bits /= 64;
            }
            out.push(b'\n');
        }
        out.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_text_and_exactly_as_much_as_is_asked_for() {
        let text = Text::new();
        let make = |seed, length| {
            let mut out = Vec::new();
            text.fill(&mut Random::new(seed, 0), &mut out, length);
            out
        };
        assert_eq!(make(1, 5000), make(1, 5000));
        assert_ne!(make(1, 5000), make(2, 5000));
        assert_eq!(make(1, 8191).len(), 8191);
        assert!(make(1, 0).is_empty());
    }

    #[test]
    fn zstd_makes_it_about_half() {
        let mut out = Vec::new();
        Text::new().fill(&mut Random::new(3, 0), &mut out, 1 << 20);
        let packed = exec::Command::new("zstd").args(["-3", "-c", "-q"]).stdin(out.clone()).run().unwrap().stdout;
        let share = packed.len() as f64 / out.len() as f64;
        assert!((0.42..0.58).contains(&share), "{share}");
    }
}
