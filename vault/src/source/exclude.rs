//! What a snapshot leaves out: paths and globs. Pure.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::path::EntryPath;

/// A path inside the snapshot, as `/var/cache/apt/archives`, or a glob: `?` one character, `*` any within a component,
/// `**` across components. A folder that matches is kept and its contents are left out; anything else that matches is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    pattern: Vec<u8>,
}

impl FromStr for Exclusion {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let rooted = text.starts_with('/') || text.starts_with("**");
        let pattern = text.trim_matches('/').as_bytes().to_vec();
        if !rooted || pattern.is_empty() {
            return Err(Error::invalid(format!("exclusion {text:?}"), "it must start with / or ** and name something"));
        }
        Ok(Exclusion { pattern })
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.pattern.starts_with(b"**") { "" } else { "/" };
        write!(f, "{slash}{}", String::from_utf8_lossy(&self.pattern))
    }
}

impl Exclusion {
    /// Whether the path itself matches.
    pub fn matches(&self, path: &EntryPath) -> bool {
        glob(&self.pattern, path.as_bytes())
    }
}

/// Matching with one place to come back to for each kind of star: linear in practice, quadratic at worst.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // (pattern after the star, text it began at, crosses slashes)
    let mut near: Option<(usize, usize)> = None;
    let mut far: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p) {
            Some(b'*') if pattern.get(p + 1) == Some(&b'*') => {
                p += 2;
                // "**/x" matches "x" at the top too.
                if pattern.get(p) == Some(&b'/') && t == 0 && p == 2 && glob(&pattern[3..], text) {
                    return true;
                }
                (far, near) = (Some((p, t)), None);
                continue;
            }
            Some(b'*') => {
                p += 1;
                near = Some((p, t));
                continue;
            }
            Some(b'?') if text.get(t).is_some_and(|c| *c != b'/') => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(c) if text.get(t) == Some(c) => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            None if t == text.len() => return true,
            _ => {}
        }
        match (&mut near, &mut far) {
            (Some((back, from)), _) if text.get(*from).is_some_and(|c| *c != b'/') => {
                *from += 1;
                (p, t) = (*back, *from);
            }
            (_, Some((back, from))) if *from < text.len() => {
                *from += 1;
                (p, t) = (*back, *from);
                near = None;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_within_and_across_components() {
        let matches =
            |pattern: &str, path: &str| pattern.parse::<Exclusion>().unwrap().matches(&EntryPath::new(path).unwrap());
        assert!(matches("/var/cache", "var/cache") && matches("/var/cache/", "var/cache"));
        assert!(!matches("/var/cache", "var/cache/apt") && !matches("/var/cache", "srv/var/cache"));
        assert!(matches("/home/*/.cache", "home/anna/.cache") && !matches("/home/*/.cache", "home/a/b/.cache"));
        assert!(matches("**/node_modules", "a/b/node_modules") && matches("**/node_modules", "node_modules"));
        assert!(!matches("**/node_modules", "a/my_node_modules"));
        assert!(matches("**.tmp", "a/b.tmp") && matches("/tmp/*", "tmp/x") && !matches("/tmp/*", "tmp/x/y"));
        assert!(matches("/a?c", "abc") && !matches("/a?c", "a/c"));
        assert!(matches("/a/**/z", "a/b/c/z") && !matches("/a/**/z", "a/b/c/y"));
        assert!(matches("/*a*b*c", "xaxbxc") && !matches("/*a*b*c", "xaxbx"));
    }

    #[test]
    fn a_pattern_that_cannot_match_is_refused() {
        for text in ["", "/", "var/cache"] {
            assert!(text.parse::<Exclusion>().is_err(), "{text:?}");
        }
    }
}
