//! Domains as libvirt's own files tell them, on a host that does not run.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::fs;
use std::path::Path;

use super::super::parts::Lies;
use super::*;

const STATUS: &str = include_str!("../../../../../guests/fixtures/libvirt/status.xml");
const DEFINED: &str = include_str!("../../../../../guests/fixtures/libvirt/defined.xml");

struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn look(&self) -> (Option<Found>, Vec<Gap>) {
        let mut gaps = Vec::new();
        let source = Source::new(self.0.path());
        let found = Libvirt.look(&source, &Policy::default(), &mut Aside::default(), &mut gaps);
        (found, gaps)
    }
}

fn paths(one: &One) -> Vec<&Path> {
    one.parts
        .iter()
        .filter(|part| part.needed)
        .filter_map(|part| match &part.lies {
            Lies::Path(path) | Lies::Device(path) => Some(path.as_path()),
            Lies::Dataset(_) => None,
        })
        .collect()
}

#[test]
fn a_host_without_libvirt_or_without_domains_has_none() {
    assert!(Host::new().look().0.is_none());
    assert!(Host::new().with("etc/libvirt/qemu/networks/default.xml", b"<network/>").look().0.is_none());
}

#[test]
fn a_guest_that_runs_is_lost_with_what_to_do() {
    let (found, gaps) = Host::new()
        .with("etc/libvirt/qemu/web.xml", STATUS.as_bytes())
        .with("run/libvirt/qemu/web.xml", STATUS.as_bytes())
        .look();
    let found = found.unwrap();
    let [web] = &found.guests[..] else { panic!("one guest, though two files tell of it") };
    let lost = web.lost.as_ref().unwrap();
    assert!(lost.contains("vda (/srv/vm/top.qcow2), vdb (/srv/vm/b.raw)") && lost.contains("backup-begin"), "{lost}");
    assert_eq!(paths(web), ["/srv/vm/base.qcow2", "/srv/vm/top.qcow2", "/srv/vm/b.raw"].map(Path::new));
    assert!(gaps.is_empty() && !web.guest.starts);
}

#[test]
fn a_guest_that_is_off_is_lost_only_by_what_is_not_here() {
    let (found, _) = Host::new()
        .with("etc/libvirt/qemu/mail.xml", DEFINED.as_bytes())
        .with("etc/libvirt/qemu/autostart/mail.xml", b"")
        .with("var/lib/libvirt/qemu/nvram/mail_VARS.fd", b"")
        .look();
    let found = found.unwrap();
    let mail = &found.guests[0];
    let lost = mail.lost.as_ref().unwrap();
    assert!(lost.contains("pool default") && lost.contains("network") && !lost.contains("runs"), "{lost}");
    assert_eq!(paths(mail), ["/dev/vg/mail", "/var/lib/libvirt/qemu/nvram/mail_VARS.fd"].map(Path::new));
    assert!(mail.guest.starts);
}

#[test]
fn a_volume_is_found_by_the_definition_of_its_pool() {
    let pool = "<pool type='dir'><name>default</name><target><path>/srv/pool/</path></target></pool>";
    let (found, _) = Host::new()
        .with("etc/libvirt/qemu/mail.xml", DEFINED.as_bytes())
        .with("etc/libvirt/storage/default.xml", pool.as_bytes())
        .look();
    let found = found.unwrap();
    assert!(paths(&found.guests[0]).contains(&Path::new("/srv/pool/db.qcow2")), "{:?}", found.guests[0].parts);
}

#[test]
fn an_image_tells_what_it_builds_on_and_a_raw_one_is_not_believed() {
    let mut image = vec![0; 0x400];
    image[..20].copy_from_slice(&[0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 10]);
    image[0x200..0x20a].copy_from_slice(b"base.qcow2");
    // A running guest's chain is libvirt's to tell; here nothing runs.
    let xml = STATUS.replace("<backingStore", "<other").replace("</backingStore>", "</other>");
    let (found, _) = Host::new()
        .with("etc/libvirt/qemu/web.xml", xml.as_bytes())
        .with("srv/vm/top.qcow2", &image)
        .with("srv/vm/b.raw", &image)
        .look();
    let found = found.unwrap();
    let web = &found.guests[0];
    assert_eq!(paths(web), ["/srv/vm/base.qcow2", "/srv/vm/top.qcow2", "/srv/vm/b.raw"].map(Path::new));
    assert!(web.lost.is_none(), "{:?}", web.lost);
}

#[test]
fn a_file_that_is_no_domain_is_a_gap() {
    let (found, gaps) = Host::new().with("etc/libvirt/qemu/web.xml", b"<domain").look();
    assert!(found.is_none() && gaps[0].what.ends_with("web.xml"), "{gaps:?}");
}
