//! OpenSSH's pattern lists: `*`, `?`, commas between patterns, `!` before one that excludes.

/// Whether `text` matches a list: some pattern fits and none that begins with `!` does.
pub fn matches_list(patterns: &str, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(excluded) if matches(excluded.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
    found
}

/// Whether one pattern fits the whole text. Goes back to the last `*` only, so the time is bounded by the product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, at)) = star else { return false };
                star = Some((after, at + 1));
                p = after;
                t = at + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}
