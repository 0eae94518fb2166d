//! Keys and secrets on this host: there, and only their owner's.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::Finding;
use crate::commands::Context;

const AREA: &str = "keys";

/// Looks at the signing key, the state folder and the files with passwords that the configuration names.
pub fn look(context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = context.state.host_key() {
        findings.push(Finding::warning(AREA, format!("{error:#}"), "without it no backup can be signed"));
    }
    let config = &context.config;
    let named = [
        config.s3.as_ref().and_then(|s3| s3.credentials_file.clone()),
        config.rclone.as_ref().and_then(|rclone| rclone.config.clone()),
    ];
    let own = [context.state.folder().to_owned(), context.state.key_file()];
    let files: Vec<PathBuf> = own.into_iter().chain(named.into_iter().flatten()).collect();
    findings.extend(files.iter().filter_map(|file| open_to_others(file)));
    if findings.is_empty() {
        findings.push(Finding::good(AREA, "the signing key is there, and only its owner reads it"));
    }
    findings
}

/// A finding where others than the owner may read or change a file; none for one that is not there.
fn open_to_others(file: &Path) -> Option<Finding> {
    let metadata = std::fs::metadata(file).ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    let right = if metadata.is_dir() { 0o700 } else { 0o600 };
    let stranger = metadata.uid() != 0 && metadata.uid() != rustix::process::getuid().as_raw();
    if mode & 0o077 == 0 && !stranger {
        return None;
    }
    let what =
        format!("{} has mode {mode:o} and belongs to user {}: others may read it", file.display(), metadata.uid());
    Some(Finding::warning(AREA, what, format!("chown root and chmod {right:o} {}", file.display())))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    #[test]
    fn a_secret_that_others_may_read_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        assert_eq!(open_to_others(&file), None);
        write(&file, "secret").unwrap();
        set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let finding = open_to_others(&file).unwrap();
        assert!(finding.what.contains("mode 640") && finding.remedy.contains("chmod 600"), "{finding:?}");
        set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(open_to_others(&file), None);
    }
}
