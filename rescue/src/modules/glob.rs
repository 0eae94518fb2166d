//! Shell patterns as depmod's alias files use them: `*`, `?` and `[...]`.

/// Whether `text` fits `pattern`.
pub fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go back to: behind the last star, and the text it has swallowed up to.
    let mut back: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            back = Some((at, read));
            continue;
        }
        let step = text.get(read).and_then(|byte| one(&pattern[at..], *byte));
        if let Some(length) = step {
            at += length;
            read += 1;
        } else if at == pattern.len() && read == text.len() {
            return true;
        } else if let Some((star, swallowed)) = back
            && swallowed < text.len()
        {
            (at, read) = (star, swallowed + 1);
            back = Some((star, swallowed + 1));
        } else {
            return false;
        }
    }
}

/// Bytes of the pattern's first element when it fits `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let close = pattern.iter().position(|&end| end == b']')?;
            set(&pattern[1..close], byte).then_some(close + 1)
        }
        &exact => (exact == byte).then_some(1),
    }
}

fn set(members: &[u8], byte: u8) -> bool {
    let mut rest = members;
    while let Some(&first) = rest.first() {
        if let [low, b'-', high, ..] = rest {
            if (*low..=*high).contains(&byte) {
                return true;
            }
            rest = &rest[3..];
        } else {
            if first == byte {
                return true;
            }
            rest = &rest[1..];
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, text, expected) in [
            ("pci:v00008086d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true),
            ("pci:v00008086d*sv*sd*bc01sc06i01*", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", false),
            ("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00", true),
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("scsi:t-0x0[0-57]*", "scsi:t-0x05", true),
            ("scsi:t-0x0[0-57]*", "scsi:t-0x06", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("fs-ext4", "fs-ext4", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = "*a".repeat(30);
        assert!(!fits(pattern.as_bytes(), "b".repeat(2000).as_bytes()));
        assert!(!fits(b"[", b"["));
    }
}
