//! Two configurations of a guest: what differs, without secrets; and one that does not start with the host.

use std::collections::{BTreeMap, BTreeSet};

use guests::inventory::Kind;
use guests::proxmox::config::Config;
use manifest::host::GuestKind;

use crate::revival::record::Difference;

/// Options that may hold a password, or anything that somebody typed.
const SECRET: &[&str] = &["args", "cipassword", "description", "entrypoint", "env", "lxc.environment", "lxc.hook"];
/// What is shown in place of a value.
const HIDDEN: &str = "(not shown)";
/// Options that say how a guest starts with the host. They are kept as the host had them, for they are the host's decision.
const STARTS: [&str; 2] = ["onboot", "startup"];

/// The options of a configuration, as they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads a configuration; `file` is its name in errors.
    ///
    /// # Errors
    /// In words.
    pub fn parse(file: &str, kind: GuestKind, text: &str) -> Result<Self, String> {
        let kind = if kind == GuestKind::Machine { Kind::Machine } else { Kind::Container };
        let config = Config::parse(file, kind, text).map_err(|error| error.to_string())?;
        let mut options: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in config.current.iter() {
            // Lines of LXC's own may repeat.
            let all = options.entry(key.to_owned()).or_default();
            *all = if all.is_empty() { value.to_owned() } else { format!("{all}; {value}") };
        }
        if !config.current.description.is_empty() {
            options.insert("description".to_owned(), config.current.description.clone());
        }
        for (name, _) in &config.snapshots {
            options.insert(format!("[{name}]"), "a snapshot".to_owned());
        }
        if config.pending.is_some() {
            options.insert("[PENDING]".to_owned(), "changes for the next start".to_owned());
        }
        Ok(Self(options))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// What a guest that was restored as `restored` needs, to start with the host as this one did: options with their values, or none to
    /// remove them.
    pub fn starts<'a>(&'a self, restored: &Self) -> Vec<(&'static str, Option<&'a str>)> {
        let changed = STARTS.into_iter().filter(|key| self.get(key) != restored.get(key));
        changed.map(|key| (key, self.get(key))).collect()
    }

    /// Options that are not the same in both.
    pub fn differences(&self, restored: &Self) -> Vec<Difference> {
        let keys: BTreeSet<&String> = self.0.keys().chain(restored.0.keys()).collect();
        let differ = keys.into_iter().filter(|key| self.0.get(*key) != restored.0.get(*key));
        let shown = |options: &Self, key: &str| options.get(key).map(|value| shown(key, value));
        differ
            .map(|key| Difference { option: key.clone(), host: shown(self, key), restored: shown(restored, key) })
            .collect()
    }
}

/// A value as it may be shown.
fn shown(key: &str, value: &str) -> String {
    let secret = |text: &str| ["passw", "secret", "token"].iter().any(|word| text.to_ascii_lowercase().contains(word));
    let listed =
        SECRET.iter().any(|one| key == *one || key.strip_prefix(one).is_some_and(|rest| rest.starts_with('.')));
    if listed || secret(key) || secret(value) { HIDDEN.to_owned() } else { value.to_owned() }
}

/// The configuration with `onboot: 0`: in its first section, for the others are snapshots.
pub fn without_start(text: &str) -> String {
    let end = text.lines().position(|line| line.starts_with('[')).unwrap_or(usize::MAX);
    let is_onboot = |line: &str| line.split_once(':').is_some_and(|(key, _)| key.trim_end() == "onboot");
    let (mut lines, mut written) = (Vec::new(), false);
    for (at, line) in text.lines().enumerate() {
        if at < end && !line.is_empty() && !line.starts_with('#') && !written {
            lines.push("onboot: 0");
            written = true;
        }
        if at == end && !written {
            lines.extend(["onboot: 0", ""]);
            written = true;
        }
        if at >= end || !is_onboot(line) {
            lines.push(line);
        }
    }
    if !written {
        lines.push("onboot: 0");
    }
    lines.join("\n") + "\n"
}

/// The configuration is one that a restore has begun and not finished: the platform locks it while it works.
pub fn is_being_made(text: &str) -> bool {
    let first = text.lines().take_while(|line| !line.starts_with('['));
    first.filter_map(|line| line.split_once(':')).any(|(key, value)| key == "lock" && value.trim() == "create")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        Options::parse("100.conf", GuestKind::Machine, text).unwrap()
    }

    #[test]
    fn differences_name_options_and_show_no_secret() {
        let host = options(
            "#the password is hunter2\nargs: -spice password=hunter2\ncipassword: hunter2\ncores: 4\nname: a\n\n[before]\ncores: 1\n",
        );
        let restored = options("cipassword: hunter3\ncores: 2\nmemory: 512\nname: a\n");
        let found = host.differences(&restored);
        let names: Vec<&str> = found.iter().map(|one| one.option.as_str()).collect();
        assert_eq!(names, ["[before]", "args", "cipassword", "cores", "description", "memory"]);
        assert_eq!((found[3].host.as_deref(), found[3].restored.as_deref()), (Some("4"), Some("2")));
        assert_eq!((found[5].host.as_deref(), found[5].restored.as_deref()), (None, Some("512")));
        assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
        let container = |text| Options::parse("101.conf", GuestKind::Container, text).unwrap();
        let lxc = container("lxc.environment: KEY=hunter2\nlxc.mount.entry: /a a\nlxc.mount.entry: /b b\n");
        let found = lxc.differences(&container("arch: amd64\n"));
        assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
        assert_eq!(found[2].host.as_deref(), Some("/a a; /b b"));
    }

    #[test]
    fn how_a_guest_starts_is_the_hosts_decision() {
        let host = options("onboot: 1\nstartup: order=3\n");
        assert_eq!(host.starts(&options("onboot: 1\nstartup: order=3\n")), []);
        assert_eq!(host.starts(&options("onboot: 0\n")), [("onboot", Some("1")), ("startup", Some("order=3"))]);
        assert_eq!(options("cores: 1\n").starts(&host), [("onboot", None), ("startup", None)]);
    }

    #[test]
    fn a_configuration_that_does_not_start_keeps_all_else() {
        let cases = [
            ("cores: 1\nonboot: 1\n\n[snap]\nonboot: 1\n", "onboot: 0\ncores: 1\n\n[snap]\nonboot: 1\n"),
            ("#note\ncores: 1\n", "#note\nonboot: 0\ncores: 1\n"),
            ("onboot: 1\n", "onboot: 0\n"),
            ("#note\n", "#note\nonboot: 0\n"),
            ("", "onboot: 0\n"),
            ("[snap]\ncores: 1\n", "onboot: 0\n\n[snap]\ncores: 1\n"),
        ];
        for (text, wanted) in cases {
            assert_eq!(without_start(text), wanted);
            assert_eq!(without_start(wanted), wanted, "a second time changes nothing");
        }
    }

    #[test]
    fn a_lock_of_a_restore_is_told_from_others() {
        assert!(is_being_made("cores: 1\nlock: create\n"));
        assert!(!is_being_made("lock: backup\n") && !is_being_made("cores: 1\n\n[snap]\nlock: create\n"));
    }
}
