//! Patterns as fnmatch(3) reads them: `*`, `?` and `[…]`, of which module aliases are made.

/// Whether `pattern` fits the whole of `text`.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where the last star stands and how much it has taken: on a mismatch it takes one more.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, read));
                at += 1;
                continue;
            }
            None if read == text.len() => return true,
            None => None,
            Some(_) => text.get(read).and_then(|byte| one(&pattern[at..], *byte)),
        };
        match (step, star) {
            (Some(length), _) => {
                at += length;
                read += 1;
            }
            (None, Some((after, taken))) if taken < text.len() => {
                star = Some((after, taken + 1));
                at = after;
                read = taken + 1;
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte; gives how many bytes of the pattern that took.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'[' => {
            // A `]` that comes first is an ordinary member.
            let end = pattern.iter().skip(2).position(|member| *member == b']')? + 2;
            let negated = matches!(pattern[1], b'!' | b'^');
            let members = &pattern[if negated { 2 } else { 1 }..end];
            (in_set(members, byte) != negated).then_some(end + 1)
        }
        literal => (literal == byte).then_some(1),
    }
}

fn in_set(members: &[u8], byte: u8) -> bool {
    let mut rest = members;
    while let [first, tail @ ..] = rest {
        if let [b'-', last, after @ ..] = tail {
            if (*first..=*last).contains(&byte) {
                return true;
            }
            rest = after;
        } else {
            if *first == byte {
                return true;
            }
            rest = tail;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_fnmatch_says() {
        for (pattern, text, fit) in [
            ("", "", true),
            ("*", "", true),
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.d", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("pci:v00008086d*sv*", "pci:v00008086d00001234sv00000000", true),
            ("input:b*e[13]?x", "input:b3e1zx", true),
            ("input:b*e[13]?x", "input:b3e2zx", false),
            ("[a-c]", "b", true),
            ("[!a-c]", "b", false),
            ("[]x]", "]", true),
            ("[a", "a", false),
            ("?", "", false),
        ] {
            assert_eq!(glob(pattern, text), fit, "{pattern} {text}");
        }
    }
}
