//! What a restore changed on purpose: declared in the image itself, and accepted only where such changes belong.
//!
//! The rescue writes `/var/lib/lifeboat/restores/*.json`, each with `"adapted": [{"path", "reason"}]`, paths escaped as in the
//! catalogue; one that ends with a slash stands for everything below it. The declaration lies in what is being judged, so it cannot widen what is
//! accepted: below [`ALLOWED`] and the ESPs' `EFI` folders, nowhere else.

use manifest::host::SwapFile;
use serde::Deserialize;

/// Folders with the reports of restores, without leading slashes.
pub(super) const REPORTS: &str = "var/lib/lifeboat/restores";
/// Where a restore may change things, without leading slashes: boot loader, the package system's idea of the boot disk, our state.
pub const ALLOWED: &[&str] = &["boot/grub", "boot/grub2", "var/cache/debconf", "var/lib/lifeboat"];
const REPORT: &str = "the report of the restore";

/// The declared changes and where changes are accepted.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    declared: Vec<Place>,
    /// `boot/efi/EFI`
    esp_folders: Vec<String>,
    /// Swap files by the manifest, which are made anew.
    swap_files: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Place {
    path: String,
    reason: String,
}

impl Rules {
    /// Rules without a declaration, for ESPs mounted at these paths (without leading slashes) and these swap files.
    pub(super) fn new(esps: &[String], swap_files: &[SwapFile]) -> Self {
        let folder = |esp: &String| if esp.is_empty() { "EFI".to_owned() } else { format!("{esp}/EFI") };
        let swap_files = swap_files.iter().map(|file| file.path.trim_start_matches('/').to_owned());
        Self { declared: Vec::new(), esp_folders: esps.iter().map(folder).collect(), swap_files: swap_files.collect() }
    }

    /// Adds what a report declares.
    ///
    /// # Errors
    /// When it is not a report.
    pub(super) fn declare(&mut self, report: &[u8]) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Report {
            #[serde(default)]
            adapted: Vec<Place>,
        }
        let report: Report = serde_json::from_slice(report)?;
        self.declared.extend(report.adapted);
        Ok(())
    }

    /// Why `path` (without a leading slash) may differ; `None` where it may not.
    pub(super) fn reason(&self, path: &[u8]) -> Option<&str> {
        let path = vault::EntryPath::new(path)?.escaped();
        let path = path.as_str();
        if within(path, REPORTS) {
            return Some(REPORT);
        }
        let esps = self.esp_folders.iter().any(|folder| within_ignoring_case(path, folder));
        let swap = self.swap_files.iter().any(|file| file == path);
        if !esps && !swap && !ALLOWED.iter().any(|folder| within(path, folder)) {
            return None;
        }
        let covers = |place: &&Place| {
            let declared = place.path.trim_start_matches('/');
            match declared.strip_suffix('/') {
                Some(folder) => within(path, folder),
                None => path == declared,
            }
        };
        self.declared.iter().find(covers).map(|place| place.reason.as_str())
    }
}

fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// FAT ignores the case of names.
fn within_ignoring_case(path: &str, folder: &str) -> bool {
    within(&path.to_lowercase(), &folder.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: &str) -> Rules {
        let mut rules =
            Rules::new(&["boot/efi".into()], &[SwapFile { path: "/swapfile".into(), size: layout::Bytes(1) }]);
        rules.declare(json.as_bytes()).unwrap();
        rules
    }

    #[test]
    fn what_is_declared_and_allowed_is_accepted() {
        let rules = rules(
            r#"{"verdict":"restored","adapted":[{"path":"/boot/grub/","reason":"boot loader"},{"path":"/boot/efi/","reason":"ESP"},
                {"path":"/var/cache/debconf/config.dat","reason":"boot disk"},{"path":"/swapfile","reason":"made anew"},
                {"path":"/swapfile2","reason":"made anew"}]}"#,
        );
        for (path, reason) in [
            ("boot/grub", Some("boot loader")),
            ("swapfile", Some("made anew")),
            ("swapfile2", None),
            ("boot/grub/i386-pc/core.img", Some("boot loader")),
            ("boot/grubby", None),
            ("boot/efi/EFI/debian/grubx64.efi", Some("ESP")),
            ("boot/efi/efi/BOOT/BOOTX64.EFI", Some("ESP")),
            ("boot/efi/autorun.inf", None),
            ("var/cache/debconf/config.dat", Some("boot disk")),
            ("var/cache/debconf/config.dat-old", None),
            ("var/lib/lifeboat/restores/1.json", Some(REPORT)),
            ("var/lib/lifeboat/keys", None),
        ] {
            assert_eq!(rules.reason(path.as_bytes()), reason, "{path}");
        }
    }

    #[test]
    fn a_declaration_cannot_widen_what_is_allowed() {
        let rules = rules(
            r#"{"adapted":[{"path":"/","reason":"x"},{"path":"/etc/shadow","reason":"x"},{"path":"/etc/","reason":"x"}]}"#,
        );
        assert_eq!(rules.reason(b"etc/shadow"), None);
        assert_eq!(rules.reason(b"root/.ssh/authorized_keys"), None);
        assert_eq!(rules.reason(b"boot/vmlinuz"), None);
    }

    #[test]
    fn without_a_declaration_nothing_is_accepted() {
        assert_eq!(Rules::new(&[], &[]).reason(b"boot/grub/grub.cfg"), None);
        assert!(Rules::default().declare(b"not json").is_err());
    }
}
