//! Having Incus export what lies on its pools before a capture: an instance's root, or a volume of its own, each into a file in a folder that is archived.
//!
//! The files are plain tar archives, so that what has not changed costs nothing in the vault. `incus import` and `incus storage volume import` read them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use exec::Command;
use guests::printable::printable;

use crate::interrupt::Flag;

/// What the configuration says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incus {
    /// Where the files go.
    pub export: PathBuf,
    /// How long one of them may take.
    pub limit: Duration,
}

/// Something that lies on a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    /// The project that it is of; none for the default one.
    project: Option<String>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Instance(String),
    Volume { pool: String, name: String },
}

impl Wanted {
    /// An instance without its snapshots and without volumes of their own.
    pub(super) fn instance(project: &str, name: &str) -> Self {
        Self { project: own(project), kind: Kind::Instance(name.to_owned()) }
    }

    /// A volume without its snapshots.
    pub(super) fn volume(project: &str, pool: &str, name: &str) -> Self {
        Self { project: own(project), kind: Kind::Volume { pool: pool.to_owned(), name: name.to_owned() } }
    }

    /// The name of its file, of which no two are the same. Names of Incus are letters, digits and dashes; of what else comes each byte is written as `%2e`.
    fn file(&self) -> String {
        let plain = |text: &str| {
            let plain = |byte: u8| match byte {
                b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
                other => format!("%{other:02x}"),
            };
            text.bytes().map(plain).collect::<String>()
        };
        let project = self.project.as_deref().map(|project| plain(project) + ".").unwrap_or_default();
        match &self.kind {
            Kind::Instance(name) => format!("{project}{}.instance.tar", plain(name)),
            Kind::Volume { pool, name } => format!("{project}{}.{}.volume.tar", plain(pool), plain(name)),
        }
    }

    fn arguments(&self, file: &Path) -> Vec<String> {
        let mut words: Vec<&str> = vec!["--force-local"];
        words.extend(self.project.iter().flat_map(|project| ["--project", project.as_str()]));
        match &self.kind {
            Kind::Instance(name) => words.extend(["export", name, "--instance-only"]),
            Kind::Volume { pool, name } => words.extend(["storage", "volume", "export", pool, name, "--volume-only"]),
        }
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        words.extend(["--compression".to_owned(), "none".to_owned(), file.to_string_lossy().into_owned()]);
        words
    }

    /// Exports it; gives the file. One of an earlier run is replaced only by a whole one.
    ///
    /// # Errors
    /// In words.
    pub(super) fn export(&self, how: &Incus, program: &Path, stop: Option<Flag>) -> Result<PathBuf, String> {
        let file = how.export.join(self.file());
        let part = file.with_extension("tar.part");
        let done = self
            .write(how, program, stop, &part)
            .and_then(|()| fs::rename(&part, &file).map_err(|error| format!("naming {}: {error}", file.display())));
        if done.is_err() {
            // There may be none.
            let _ = fs::remove_file(&part);
        }
        done.map(|()| file)
    }

    fn write(&self, how: &Incus, program: &Path, stop: Option<Flag>, part: &Path) -> Result<(), String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&how.export);
        made.map_err(|error| format!("making {}: {error}", how.export.display()))?;
        // Incus writes into no file that is there.
        let _ = fs::remove_file(part);
        eprintln!("exporting {} from Incus", self.file());
        let command = Command::new(program).args(self.arguments(part)).called("incus export").limit(how.limit);
        let ended = command.group(stop).and_then(exec::Group::wait);
        ended.map_err(|error| printable(&error.to_string()))
    }
}

fn own(project: &str) -> Option<String> {
    (!matches!(project, "" | "default")).then(|| project.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A stand-in that writes its words into the file that it is to make, and fails for `bad`.
    fn stand_in(folder: &Path) -> PathBuf {
        let program = folder.join("incus");
        let script = "#!/bin/sh\nfor last; do :; done\necho \"$@\" >\"$last\"\ncase \"$*\" in *' bad '*) echo no room >&2; exit 1;; esac\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    #[test]
    fn each_is_exported_whole_or_the_older_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let program = stand_in(folder.path());
        let how = Incus { export: folder.path().join("exports"), limit: Duration::from_secs(20) };
        let file = Wanted::instance("default", "mail").export(&how, &program, None).unwrap();
        assert_eq!(file, how.export.join("mail.instance.tar"));
        let words = fs::read_to_string(&file).unwrap();
        assert!(words.starts_with("--force-local export mail --instance-only --compression none "), "{words}");
        let volume = Wanted::volume("home", "fast", "data").export(&how, &program, None).unwrap();
        assert_eq!(volume, how.export.join("home.fast.data.volume.tar"));
        let words = fs::read_to_string(&volume).unwrap();
        assert!(
            words.starts_with("--force-local --project home storage volume export fast data --volume-only"),
            "{words}"
        );
        fs::write(how.export.join("bad.instance.tar"), "of yesterday").unwrap();
        let error = Wanted::instance("", "bad").export(&how, &program, None).unwrap_err();
        assert!(error.contains("no room"), "{error}");
        assert_eq!(fs::read_to_string(how.export.join("bad.instance.tar")).unwrap(), "of yesterday");
        assert_eq!(fs::read_dir(&how.export).unwrap().count(), 3, "no half file stays");
    }

    #[test]
    fn no_name_leaves_the_folder() {
        assert_eq!(Wanted::instance("a/b", "../x").file(), "a%2fb.%2e%2e%2fx.instance.tar");
    }
}
