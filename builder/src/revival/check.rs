//! Guests that came back as files of the host, looked at before they start: those of libvirt and LXC.
//!
//! These start their guests as soon as they start themselves, so a unit runs this before. No program is asked, for none of them answers yet:
//! the files tell.
//!
//! 1. Each guest is looked for, with all that it cannot do without. Devices that are not there are waited for.
//! 2. One that lacks something, or of which the snapshot held no sound state, is kept from starting with the host ([`super::hold`]) and is
//!    named. All others start as they did.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use manifest::Digest;
use manifest::host::{Guest, Platform, PlatformKind};

use super::record::Phase;
use super::{Asked, Begun, Run, Summary, begin, finish, hold, work};
use crate::capture::guests::standing::{Standing, at_rest};

/// Between two looks for a device.
const PAUSE: Duration = Duration::from_secs(1);
/// Where a capture has put the definitions of guests that have no file of their own.
const TRANSIENT: &str = "var/lib/lifeboat/exports/libvirt";

/// Whether a platform's guests start from files alone.
pub fn is_by_files(kind: PlatformKind) -> bool {
    matches!(kind, PlatformKind::Libvirt | PlatformKind::Lxc)
}

/// Looks at them.
///
/// # Errors
/// As [`super::run`]. A guest that is not complete is no error.
pub fn run(asked: &Asked) -> anyhow::Result<Summary> {
    let Begun { revival, digest, locked, journal } = begin(asked)?;
    // The rescue brings back none of these itself.
    let run = Run { locked, journal, again: asked.vouches(), offline: Vec::new() };
    let mut platforms = revival.platforms.iter().filter(|platform| is_by_files(platform.kind));
    let worked = platforms.try_for_each(|platform| look(&run, asked, platform, &digest));
    let finished = finish(&run, asked, &revival, &digest, Vec::new());
    worked.and(finished)
}

fn look(run: &Run, asked: &Asked, platform: &Platform, digest: &Digest) -> anyhow::Result<()> {
    let work = work(run, asked, platform, digest)?;
    if work.is_empty() {
        return Ok(());
    }
    run.locked.set_done(digest, false)?;
    let guests: Vec<&Guest> = work.iter().map(|(guest, _)| *guest).collect();
    let standings = settled(&asked.root, platform.kind, &guests, asked.wait);
    for (guest, mut record) in work {
        run.enter(&mut record, Phase::Checking, "looking for what it needs")?;
        let reasons = reasons(guest, &standings, "its definition is not there", run.again);
        let transient = asked.root.join(TRANSIENT).join(format!("{}.xml", guest.id));
        if reasons.is_empty() {
            run.enter(&mut record, Phase::Restored, "what it needs is there; it starts as it did on the host")?;
        } else if !standings.iter().any(|one| one.id == guest.id) && transient.is_file() {
            let text =
                format!("it had no definition but while it ran; `virsh create {}` starts it", transient.display());
            run.enter(&mut record, Phase::Skipped, text)?;
        } else {
            let held = hold::hold(&run.locked, &asked.root, platform.kind, guest)
                .unwrap_or_else(|why| format!("it could not be kept from starting with the host: {why}"));
            let again = format!("when it is mended, `lifeboat guests check --only {}`", guest.id);
            run.enter(&mut record, Phase::Failed, format!("{}; {held}; {again}", reasons.join("; ")))?;
        }
    }
    Ok(())
}

/// How they stand when nothing is missing any more, or `limit` is over.
fn settled(root: &Path, kind: PlatformKind, guests: &[&Guest], limit: Duration) -> Vec<Standing> {
    let begun = Instant::now();
    loop {
        let standings = at_rest(root, kind);
        let lacks = |guest: &&Guest| standings.iter().any(|one| one.id == guest.id && !one.missing.is_empty());
        if begun.elapsed() >= limit || !guests.iter().any(lacks) {
            return standings;
        }
        sleep(PAUSE.min(limit));
    }
}

/// Why a guest is not complete; `absent` says that it is not there at all. What a capture has said of it counts no more when it is looked at
/// `again`, by somebody who has mended it.
pub(super) fn reasons(guest: &Guest, standings: &[Standing], absent: &str, again: bool) -> Vec<String> {
    let lost = guest.notes.iter().filter(|note| note.gap && !again);
    let lost = lost.map(|note| format!("the snapshot had no sound state of it: {}", note.text));
    let now = match standings.iter().find(|one| one.id == guest.id) {
        Some(one) => one.missing.clone(),
        None => vec![absent.to_owned()],
    };
    lost.chain(now).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use manifest::host::{GuestKind, KEPT, Note, Revival};

    use super::super::folder::Folder;
    use super::super::record::Record;
    use super::*;

    const UUID: &str = "0f0f0f0f-1111-4222-8333-444455556666";

    fn guest(id: &str, name: &str, gap: Option<&str>) -> Guest {
        let notes = gap.map(|text| Note { gap: true, text: text.to_owned() }).into_iter().collect();
        let (id, name) = (id.to_owned(), name.to_owned());
        Guest { id, name, kind: GuestKind::Machine, starts: true, order: None, archive: None, notes }
    }

    struct Host {
        root: tempfile::TempDir,
        platform: Platform,
    }

    impl Host {
        fn new(kind: PlatformKind, guests: Vec<Guest>) -> Self {
            let root = tempfile::tempdir().unwrap();
            let platform = Platform { kind, node: String::new(), cluster: Vec::new(), guests, notes: Vec::new() };
            let host = Self { root, platform };
            let revival = Revival { schema: 1, snapshot: 1, platforms: vec![host.platform.clone()] };
            host.write(KEPT.trim_start_matches('/'), &serde_json::to_string(&revival).unwrap());
            host
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn check(&self, only: &[&str]) -> Vec<Record> {
            let only = only.iter().map(|one| (*one).to_owned()).collect();
            let asked = Asked { root: self.root.path().to_owned(), only, again: false, wait: Duration::ZERO };
            run(&asked).unwrap().guests
        }

        fn is_done(&self) -> bool {
            let folder = Folder::at(self.root.path());
            let (_, digest) = folder.revival().unwrap();
            folder.is_done(&digest)
        }
    }

    fn domain(name: &str, uuid: &str, disk: &str) -> String {
        format!(
            "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><devices><disk type='file' device='disk'>\
             <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda'/></disk></devices></domain>"
        )
    }

    fn host(gap: Option<&str>) -> Host {
        let host = Host::new(PlatformKind::Libvirt, vec![guest(UUID, "web", gap)]);
        host.write("etc/libvirt/qemu/web.xml", &domain("web", UUID, "/srv/web.img"));
        fs::create_dir_all(host.root.path().join("etc/libvirt/qemu/autostart")).unwrap();
        symlink("/etc/libvirt/qemu/web.xml", host.root.path().join("etc/libvirt/qemu/autostart/web.xml")).unwrap();
        host
    }

    fn starts(host: &Host) -> bool {
        fs::symlink_metadata(host.root.path().join("etc/libvirt/qemu/autostart/web.xml")).is_ok()
    }

    #[test]
    fn a_machine_that_is_complete_starts_as_it_did() {
        let host = host(None);
        host.write("srv/web.img", "a disk");
        let records = host.check(&[]);
        assert_eq!(records[0].phase, Phase::Restored, "{}", records[0].detail);
        assert!(starts(&host) && host.is_done());
    }

    #[test]
    fn a_machine_without_its_disk_is_kept_from_starting_until_it_is_mended() {
        let host = host(None);
        let records = host.check(&[]);
        assert_eq!(records[0].phase, Phase::Failed);
        assert!(records[0].detail.contains("disk vda is not there: /srv/web.img"), "{}", records[0].detail);
        assert!(records[0].detail.contains("virsh autostart web"), "{}", records[0].detail);
        assert!(!starts(&host) && host.is_done());
        host.write("srv/web.img", "a disk");
        assert_eq!(host.check(&[])[0].phase, Phase::Failed, "what is decided is looked at again by name only");
        assert_eq!(host.check(&[UUID])[0].phase, Phase::Restored);
    }

    #[test]
    fn a_machine_that_was_torn_is_kept_from_starting() {
        let host = host(Some("it runs, and its disk was read while it wrote"));
        host.write("srv/web.img", "a disk");
        assert!(host.check(&[])[0].detail.contains("no sound state of it: it runs"));
        assert!(!starts(&host));
        assert_eq!(host.check(&[UUID])[0].phase, Phase::Restored, "whoever names it has looked");
    }

    #[test]
    fn a_machine_that_was_transient_is_left_to_whoever_started_it() {
        let host = Host::new(PlatformKind::Libvirt, vec![guest(UUID, "web", None)]);
        host.write("etc/libvirt/qemu/other.xml", &domain("other", &UUID.replace('0', "1"), "/srv/other.img"));
        assert!(host.check(&[])[0].detail.contains("its definition is not there"));
        let host = Host::new(PlatformKind::Libvirt, vec![guest(UUID, "web", None)]);
        host.write(&format!("{TRANSIENT}/{UUID}.xml"), &domain("web", UUID, "/srv/web.img"));
        let records = host.check(&[]);
        assert_eq!(records[0].phase, Phase::Skipped);
        assert!(records[0].detail.contains("virsh create"), "{}", records[0].detail);
    }

    #[test]
    fn a_container_without_its_root_is_kept_from_starting() {
        let host = Host::new(PlatformKind::Lxc, vec![guest("web", "web", None), guest("db", "db", None)]);
        let config = |name: &str| format!("lxc.start.auto = 1\nlxc.rootfs.path = dir:/var/lib/lxc/{name}/rootfs\n");
        for name in ["web", "db"] {
            host.write(&format!("var/lib/lxc/{name}/config"), &config(name));
        }
        host.write("var/lib/lxc/db/rootfs/bin/init", "");
        let records = host.check(&[]);
        let of = |id: &str| records.iter().find(|record| record.id == id).unwrap();
        assert_eq!((of("web").phase, of("db").phase), (Phase::Failed, Phase::Restored));
        let read = |path: &str| fs::read_to_string(host.root.path().join(path)).unwrap();
        assert_eq!(read("var/lib/lxc/web/config"), config("web").replace("auto = 1", "auto = 0"));
        assert_eq!(read("var/lib/lxc/db/config"), config("db"));
        assert_eq!(read("var/lib/lifeboat/guests/aside/lxc-web.config"), config("web"));
    }
}
