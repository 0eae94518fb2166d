//! Against the system's libvirt and a machine of QEMU that it runs: `make platforms`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::process::Command;

use super::super::told;
use super::*;

const URI: &str = "qemu:///system";

/// A machine without an operating system, with a qcow2 disk that builds on another image, and a raw one; gone with this value.
struct Machine {
    folder: tempfile::TempDir,
    uuid: String,
}

fn virsh(args: &[&str]) -> String {
    let output = Command::new("virsh").args(["--quiet", "--connect", URI]).args(args).output();
    let output = output.expect("virsh is among scripts/platforms/packages.txt");
    assert!(output.status.success(), "virsh {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Machine {
    fn start(number: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let uuid = format!("0f0f0f0f-1111-4222-8333-{:08x}{number:04x}", std::process::id());
        let image = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let base = image("base.qcow2");
        for (format, name, more) in [
            ("qcow2", "base.qcow2", &[][..]),
            ("qcow2", "a.qcow2", &["-b", &base, "-F", "qcow2"]),
            ("raw", "b.raw", &[]),
        ] {
            let made = Command::new("qemu-img")
                .args(["create", "-q", "-f", format])
                .args(more)
                .args([&image(name), "8M"])
                .status();
            assert!(made.expect("qemu-img is among scripts/platforms/packages.txt").success());
        }
        let xml = format!(
            "<domain type='qemu'><name>lifeboat-{uuid}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda' bus='virtio'/></disk>\
             <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/><target dev='vdb' bus='virtio'/></disk>\
             <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk><memballoon model='none'/></devices></domain>",
            image("a.qcow2"),
            image("b.raw")
        );
        let file = folder.path().join("machine.xml");
        fs::write(&file, xml).unwrap();
        virsh(&["create", file.to_str().unwrap()]);
        Self { folder, uuid }
    }

    fn still(&self) -> Still {
        let records = Records::open(&self.folder.path().join("records"), URI).unwrap();
        Still { unable: None, records: Some(records), laid: Vec::new() }
    }

    fn lay(&self, still: &mut Still) -> Result<Laid, String> {
        let asking = Asking::of("virsh", &["--quiet", "--readonly", "--connect", URI]).unwrap();
        let told = told::ask(&asking).unwrap();
        let seen = told.seen.iter().find(|seen| seen.domain.uuid == self.uuid).unwrap();
        let disks: Vec<&Disk> = seen.domain.disks.iter().filter(|disk| !disk.read_only).collect();
        still.lay(seen, &disks, &Source::new(Path::new("/")), &mut Aside::default())
    }

    /// The ends of the names of its disks' files.
    fn disks(&self) -> Vec<String> {
        let domain = Domain::parse(&virsh(&["dumpxml", &self.uuid])).unwrap();
        let name = |disk: &Disk| match &disk.place {
            Place::File(path) => Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()),
            _ => None,
        };
        domain.disks.iter().filter_map(name).collect()
    }

    fn overlays(&self) -> usize {
        let names = fs::read_dir(self.folder.path()).unwrap().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().ends_with(".lifeboat")).count()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("virsh").args(["--quiet", "--connect", URI, "destroy", &self.uuid]).status();
    }
}

const USUAL: [&str; 2] = ["a.qcow2", "b.raw"];
const OVER: [&str; 2] = ["a.qcow2.lifeboat", "b.raw.lifeboat"];

#[test]
#[ignore = "needs libvirtd: make platforms"]
fn disks_lie_still_and_the_guest_goes_on_with_them() {
    let machine = Machine::start(1);
    let base = || fs::read(machine.folder.path().join("base.qcow2")).unwrap();
    let (before, mut still) = (base(), machine.still());
    let laid = machine.lay(&mut still).unwrap();
    assert!(laid.overlays.len() == 2 && laid.note.contains("power cut"), "{}", laid.note);
    assert_eq!((machine.disks(), machine.overlays()), (OVER.map(str::to_owned).to_vec(), 2));
    let mut aside = Aside::default();
    still.keep_until_read(&mut aside);
    assert_eq!(aside.close(), Vec::<String>::new());
    assert_eq!((machine.disks(), machine.overlays()), (USUAL.map(str::to_owned).to_vec(), 0));
    let chain = Domain::parse(&virsh(&["dumpxml", &machine.uuid])).unwrap().disks.remove(0).chain;
    assert!(base() == before && chain.len() == 1, "what other guests may build on is not touched");
    assert!(!machine.folder.path().join(format!("records/{}.json", machine.uuid)).exists());
}

#[test]
#[ignore = "needs libvirtd: make platforms"]
fn what_a_run_that_was_cut_has_begun_the_next_one_ends() {
    let machine = Machine::start(2);
    let mut still = machine.still();
    machine.lay(&mut still).unwrap();
    // As a killed process leaves it: the lock is free, the record is there.
    drop(still);
    assert_eq!(machine.overlays(), 2);
    let next = machine.still();
    let mut gaps = Vec::new();
    next.records.as_ref().unwrap().end_all(&mut gaps);
    assert!(gaps.is_empty(), "{gaps:?}");
    assert_eq!((machine.disks(), machine.overlays()), (USUAL.map(str::to_owned).to_vec(), 0));
}

#[test]
#[ignore = "needs libvirtd: make platforms"]
fn an_overlay_that_no_guest_uses_is_never_removed() {
    let machine = Machine::start(3);
    let foreign = machine.folder.path().join("a.qcow2.lifeboat");
    fs::write(&foreign, b"what somebody wrote").unwrap();
    let mut still = machine.still();
    let why = machine.lay(&mut still).map(|laid| laid.note).unwrap_err();
    assert!(why.contains("is there, and may hold"), "{why}");
    let image = machine.folder.path().join("a.qcow2").to_str().unwrap().to_owned();
    let over = Over { target: "vda".to_owned(), overlay: format!("{image}.lifeboat"), image, committed: false };
    let records = still.records.as_ref().unwrap();
    records.write(&Record { schema: 1, uuid: machine.uuid.clone(), disks: vec![over] }).unwrap();
    let mut gaps = Vec::new();
    records.end_all(&mut gaps);
    assert!(gaps[0].why.contains("does not use it now"), "{gaps:?}");
    assert_eq!(fs::read(&foreign).unwrap(), b"what somebody wrote");
}

#[test]
#[ignore = "needs libvirtd: make platforms"]
fn two_runs_do_not_work_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = Records::open(folder.path(), URI).unwrap();
    assert!(Records::open(folder.path(), URI).err().unwrap().contains("another run"));
    drop(first);
    assert!(Records::open(folder.path(), URI).is_ok());
}
