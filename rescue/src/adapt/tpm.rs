//! TPMs: a container that the lost machine's TPM opened is enrolled anew with this machine's at the first start, when its registers have the values that
//! a start from its own disk gives them. What that takes lies in the restored root, and only where the place is encrypted itself.

use std::io;
use std::path::Path;

use layout::luks::token::TpmToken;
use layout::{Kind, Layout};

use super::{Adaptation, files};

const ENROL: &str = include_str!("../../../templates/tpm/enrol.sh");
const UNIT: &str = include_str!("../../../templates/tpm/lifeboat-tpm.service");
/// Where the script, the list and the passphrases lie.
const FOLDER: &str = "var/lib/lifeboat/tpm";
const UNITS: &str = "etc/systemd/system";
const NAME: &str = "lifeboat-tpm.service";
const REASON: &str = "this machine's TPM is enrolled at the first start";

/// A container that a TPM opened, and the passphrase that opens it here.
pub struct Renewal {
    /// The container's UUID.
    pub uuid: String,
    /// How the TPM was bound to it.
    pub token: TpmToken,
    /// What was typed, or is in the key file.
    pub passphrase: String,
}

impl Renewal {
    /// A renewal that somebody must do himself: a PIN or a private key is in nobody's hands here.
    fn is_by_hand(&self) -> bool {
        self.token.pin || self.token.signed || self.passphrase.contains(['\n', '\0'])
    }

    fn line(&self) -> String {
        let pcrs: Vec<String> = self.token.pcrs.iter().map(u32::to_string).collect();
        format!("{} {}\n", self.uuid, pcrs.join("+"))
    }
}

/// Prepares the enrolment of each container of `renewals`, in the restored root at `root`. Gives the UUIDs of those for which that was possible.
pub fn renew(root: &Path, layout: &Layout, renewals: &[Renewal], done: &mut Adaptation) -> Vec<String> {
    let wanted: Vec<&Renewal> = renewals.iter().filter(|renewal| !renewal.is_by_hand()).collect();
    let able = root.join("usr/bin/systemd-cryptenroll").exists() && root.join(UNITS).is_dir();
    if wanted.is_empty() || !able || !is_encrypted(layout) || !files::is_straight(root, &format!("{FOLDER}/containers"))
    {
        return Vec::new();
    }
    if let Err(error) = prepare(root, &wanted, done) {
        done.not_adapted.push(format!("the enrolment of this machine's TPM could not be prepared: {error}"));
        return Vec::new();
    }
    done.place(&format!("/{FOLDER}/"), REASON);
    wanted.iter().map(|renewal| renewal.uuid.clone()).collect()
}

/// Whether the filesystem that takes the passphrases lies in a container: `/var` may be another than the root filesystem.
fn is_encrypted(layout: &Layout) -> bool {
    let holds = |path: &str| Path::new("/").join(FOLDER).starts_with(path);
    let mount = layout.mounts.iter().filter(|mount| holds(&mount.path)).max_by_key(|mount| mount.path.len());
    mount.is_some_and(|mount| layout.below(&mount.node).iter().any(|node| matches!(node.kind, Kind::Luks(_))))
}

fn prepare(root: &Path, renewals: &[&Renewal], done: &mut Adaptation) -> io::Result<()> {
    files::folder(root, FOLDER, 0o700)?;
    let list: String = renewals.iter().map(|renewal| renewal.line()).collect();
    for (name, text) in [("enrol.sh", ENROL), ("containers", list.as_str())] {
        files::put(root, &format!("{FOLDER}/{name}"), text, 0o600, REASON, done)?;
    }
    for renewal in renewals {
        files::put(root, &format!("{FOLDER}/{}.key", renewal.uuid), &renewal.passphrase, 0o600, REASON, done)?;
    }
    files::put(root, &format!("{UNITS}/{NAME}"), UNIT, 0o644, REASON, done)?;
    files::link(root, &format!("{UNITS}/multi-user.target.wants/{NAME}"), &format!("/{UNITS}/{NAME}"), REASON, done)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use layout::luks::Luks;
    use layout::{Bytes, Mount, Node, NodeId};

    use super::*;

    const UUID: &str = "0a0b0c0d-3333-4000-8000-000000000001";

    fn renewal(pin: bool) -> Renewal {
        let token = TpmToken { pcrs: vec![0, 7], pin, signed: false };
        Renewal { uuid: UUID.to_owned(), token, passphrase: "eins zwei".to_owned() }
    }

    /// A root filesystem on a container, or on nothing but a disk.
    fn layout(encrypted: bool) -> Layout {
        let dump = include_str!("../../../layout/fixtures/stacks/luks2.dump");
        let node = |id: &str, on: &[&str], kind| Node {
            id: NodeId(id.to_owned()),
            path: format!("/dev/{id}"),
            size: Bytes::GIB,
            kind,
            on: on.iter().map(|id| NodeId((*id).to_owned())).collect(),
        };
        let kind = if encrypted {
            Kind::Luks(Luks::parse(dump).unwrap())
        } else {
            Kind::Opaque(layout::Opaque { what: String::new() })
        };
        let root = node("root", &["below"], Kind::Opaque(layout::Opaque { what: String::new() }));
        let mount = Mount {
            node: NodeId("root".to_owned()),
            path: "/".to_owned(),
            fstype: "ext4".to_owned(),
            options: String::new(),
            subvolume: None,
        };
        Layout { nodes: vec![node("below", &[], kind), root], mounts: vec![mount] }
    }

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs::write(root.path().join("usr/bin/systemd-cryptenroll"), "").unwrap();
        fs::create_dir_all(root.path().join(UNITS)).unwrap();
        fs::create_dir_all(root.path().join("var/lib/lifeboat")).unwrap();
        root
    }

    #[test]
    fn the_first_start_of_an_encrypted_root_enrols_the_new_tpm_with_the_same_registers() {
        let root = root();
        let mut done = Adaptation::default();
        let before =
            ["var/lib/lifeboat", UNITS].map(|path| fs::metadata(root.path().join(path)).unwrap().modified().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(renew(root.path(), &layout(true), &[renewal(false)], &mut done), [UUID]);
        let after =
            ["var/lib/lifeboat", UNITS].map(|path| fs::metadata(root.path().join(path)).unwrap().modified().unwrap());
        assert_eq!(after, before, "the folders around it keep their times");
        let folder = root.path().join(FOLDER);
        assert_eq!(fs::read_to_string(folder.join("containers")).unwrap(), format!("{UUID} 0+7\n"));
        let key = folder.join(format!("{UUID}.key"));
        assert_eq!(fs::read_to_string(&key).unwrap(), "eins zwei");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(root.path().join(UNITS).join("multi-user.target.wants").join(NAME).symlink_metadata().is_ok());
        assert!(done.reason(b"var/lib/lifeboat/tpm/enrol.sh").is_some());
        // Once more, as after a cut.
        assert_eq!(renew(root.path(), &layout(true), &[renewal(false)], &mut done), [UUID]);
    }

    #[test]
    fn no_passphrase_is_left_on_a_var_in_clear_nor_behind_a_link() {
        let mut clear = layout(true);
        clear.mounts.push(Mount {
            node: NodeId("none".to_owned()),
            path: "/var".to_owned(),
            ..clear.mounts[0].clone()
        });
        let place = root();
        assert!(renew(place.path(), &clear, &[renewal(false)], &mut Adaptation::default()).is_empty());
        fs::remove_dir(place.path().join("var/lib/lifeboat")).unwrap();
        fs::create_dir(place.path().join("boot")).unwrap();
        symlink("../../boot", place.path().join("var/lib/lifeboat")).unwrap();
        assert!(renew(place.path(), &layout(true), &[renewal(false)], &mut Adaptation::default()).is_empty());
        assert_eq!(fs::read_dir(place.path().join("boot")).unwrap().count(), 0);
    }

    #[test]
    fn no_passphrase_is_left_on_a_root_in_clear_and_no_pin_is_guessed() {
        for (encrypted, pin) in [(false, false), (true, true)] {
            let root = root();
            let mut done = Adaptation::default();
            assert!(renew(root.path(), &layout(encrypted), &[renewal(pin)], &mut done).is_empty());
            assert!(!root.path().join(FOLDER).exists());
        }
    }
}
