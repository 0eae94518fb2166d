//! `[[hook]]` and `[[stream]]`: what is run around a capture, and whose output is captured.

use serde::Deserialize;
use vault::EntryPath;

use super::command::{Limit, Line, OnFailure};

/// Commands around a capture.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// What messages call it.
    pub name: String,
    /// Run before anything is read.
    pub before: Option<Line>,
    /// Run as soon as what is captured stands still, or is read.
    pub still: Option<Line>,
    /// Run at the end, whatever came of the capture.
    pub after: Option<Line>,
    /// Run when the capture failed.
    pub failed: Option<Line>,
    /// How long each of them may take [default: 5m].
    #[serde(default)]
    pub limit: Limit<300>,
    /// What it means when `before`, `still` or `after` fails [default: warn].
    #[serde(default)]
    pub on: OnFailure,
}

/// A command whose standard output becomes a file of the snapshot.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// The file's path: below `/var/lib/lifeboat/streams` of a host, below the root of a tree.
    pub name: String,
    /// The command.
    pub command: Line,
    /// How long it may take [default: 2h].
    #[serde(default)]
    pub limit: Limit<7200>,
    /// What it means when it fails [default: warn].
    #[serde(default)]
    pub on: OnFailure,
}

impl Stream {
    /// The path, where the name is one: relative, without `..`, in no form but its own.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn path(&self) -> Result<EntryPath, String> {
        let path = EntryPath::new(self.name.as_bytes()).filter(|path| !path.is_root());
        path.ok_or_else(|| format!("{:?} is no relative path of a file, such as \"postgresql/app.sql\"", self.name))
    }
}

/// Checks what serde cannot.
///
/// # Errors
/// What is wrong, and where.
pub fn check(hooks: &[Hook], streams: &[Stream]) -> Result<(), String> {
    for (at, hook) in hooks.iter().enumerate() {
        let Hook { name, before, still, after, failed, .. } = hook;
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(format!("name = {name:?} in [[hook]]: a name of up to 64 characters is wanted"));
        }
        if hooks[..at].iter().any(|other| other.name == *name) {
            return Err(format!("there are two hooks of the name {name:?}"));
        }
        let lines = [("before", before), ("still", still), ("after", after), ("failed", failed)];
        if lines.iter().all(|(_, line)| line.is_none()) {
            return Err(format!("the hook {name:?} has neither `before`, `still`, `after` nor `failed`"));
        }
        for (key, line) in lines {
            if let Some(fault) = line.as_ref().and_then(Line::fault) {
                return Err(format!("the hook {name:?}: {key} {fault}"));
            }
        }
    }
    let mut paths = Vec::new();
    for stream in streams {
        paths.push(stream.path().map_err(|error| format!("name in [[stream]]: {error}"))?);
        if let Some(fault) = stream.command.fault() {
            return Err(format!("the stream {:?}: command {fault}", stream.name));
        }
    }
    apart(paths)
}

/// Refuses paths that are the same, or of which one lies below another.
///
/// # Errors
/// Which.
pub fn apart(mut paths: Vec<EntryPath>) -> Result<(), String> {
    paths.sort();
    match paths.windows(2).find(|pair| pair[1].is_at_or_below(&pair[0])) {
        Some(pair) => {
            Err(format!("the streams {:?} and {:?}: a file cannot be both", pair[0].escaped(), pair[1].escaped()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn refused(text: &str) -> String {
        Config::parse(&format!("version = 1\n{text}\n")).unwrap_err()
    }

    #[test]
    fn commands_are_lines_or_words_and_have_limits() {
        let text = "version = 1\n[[hook]]\nname = \"db\"\nbefore = \"a | b\"\nafter = [\"c\", \"d e\"]\nlimit = \"90s\"\non = \"fail\"\n\
                    [[stream]]\nname = \"x/y.sql\"\ncommand = [\"dump\"]\n";
        let config = Config::parse(text).unwrap();
        let hook = &config.hook[0];
        assert_eq!(hook.before, Some(Line::Shell("a | b".into())));
        assert_eq!(hook.after, Some(Line::Argv(vec!["c".into(), "d e".into()])));
        assert_eq!((hook.limit.0, hook.on), (Duration::from_secs(90), OnFailure::Fail));
        assert_eq!((config.stream[0].limit.0, config.stream[0].on), (Duration::from_secs(7200), OnFailure::Warn));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, word) in [
            ("[[hook]]\nname = \"a\"\nbefor = \"x\"", "did you mean `before`?"),
            ("[[stream]]\nname = \"a\"\ncomand = \"x\"", "did you mean `command`?"),
            ("[[hook]]\nname = \"a\"", "neither"),
            ("[[hook]]\nname = \"a\"\nbefore = []", "names no program"),
            ("[[hook]]\nname = \"a\"\nbefore = \" \"", "is empty"),
            ("[[hook]]\nname = \"a\"\nbefore = \"x\"\nlimit = \"soon\"", "limit"),
            ("[[hook]]\nname = \"a\"\nbefore = \"x\"\non = \"stop\"", "stop"),
            ("[[hook]]\nname = \"a\"\nbefore = \"x\"\n[[hook]]\nname = \"a\"\nafter = \"x\"", "two hooks"),
            ("[[stream]]\nname = \"/etc/passwd\"\ncommand = \"x\"", "relative path"),
            ("[[stream]]\nname = \"../x\"\ncommand = \"x\"", "relative path"),
            (
                "[[stream]]\nname = \"a\"\ncommand = \"x\"\n[[stream]]\nname = \"a/b\"\ncommand = \"x\"",
                "cannot be both",
            ),
        ] {
            let error = refused(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
