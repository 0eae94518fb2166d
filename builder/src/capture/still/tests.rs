//! A btrfs that is written to while it stands still. Its kernel and its tools are real; only root may mount it.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use exec::Command;
use layout::btrfs::Btrfs;

use super::plan::Subvolumes;
use super::*;

const INSIDE: &str = "capture::still::tests::inside_a_mount_table_of_its_own";

fn run(program: &str, args: &[&str]) -> String {
    Command::new(program).args(args).read().unwrap()
}

/// Name of one of the snapshots that are there.
fn left_by(btr: &Btr) -> String {
    let names = fs::read_dir(btr.path("top")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| names::is_ours(name)).min().unwrap()
}

#[test]
fn a_btrfs_stands_still_while_it_is_read_and_nothing_of_it_stays() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can mount");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let unshare = Command::new("unshare").args(["--mount", "--propagation", "private"]).arg(program);
    unshare.args(["--exact", INSIDE, "--include-ignored", "--nocapture"]).run().unwrap();
}

/// A filesystem with a subvolume that is mounted and one in it that is not.
struct Btr {
    folder: tempfile::TempDir,
    device: String,
}

impl Btr {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::File::create(path("image")).unwrap().set_len(128 << 20).unwrap();
        run("mkfs.btrfs", &["-q", &path("image")]);
        for name in ["top", "root"] {
            fs::create_dir(path(name)).unwrap();
        }
        run("mount", &["-o", "loop", &path("image"), &path("top")]);
        run("btrfs", &["--quiet", "subvolume", "create", &path("top/@")]);
        run("btrfs", &["--quiet", "subvolume", "create", &path("top/@/inner")]);
        let device = run("findmnt", &["-no", "SOURCE", &path("top")]).trim().to_owned();
        run("mount", &["-o", "subvol=@", &device, &path("root")]);
        let btr = Self { folder, device };
        btr.write("one");
        btr
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    fn write(&self, word: &str) {
        fs::write(self.path("root/file"), word).unwrap();
        fs::write(self.path("root/inner/file"), word).unwrap();
    }

    fn plan(&self) -> Plan {
        let mut known = Btrfs::parse(include_bytes!("../../../../layout/fixtures/btrfs/plain.superblock")).unwrap().0;
        known.take_listing(&run("btrfs", &["subvolume", "list", "-a", "-u", "-q", &self.text("top")]), "", "", "");
        let read = [("@", "root"), ("@/inner", "root/inner")].map(|(path, place)| (path.to_owned(), self.text(place)));
        let means = Means::Subvolumes(Box::new(Subvolumes {
            device: self.device.clone(),
            read: read.into(),
            hidden: Vec::new(),
            known,
        }));
        let filesystem = Filesystem { places: vec![self.text("root")], fstype: "btrfs".to_owned(), means };
        let cross = self.folder.path().ancestors().chain([self.path("root").as_path()]).map(Path::to_owned).collect();
        Plan { policy: Policy::Require, unable: None, root: "/".into(), cross, filesystems: vec![filesystem] }
    }

    fn snapshots(&self) -> usize {
        let names = fs::read_dir(self.path("top")).unwrap();
        names.filter(|entry| names::is_ours(entry.as_ref().unwrap().file_name().to_str().unwrap())).count()
    }
}

impl Drop for Btr {
    fn drop(&mut self) {
        for name in ["root", "top"] {
            let _ = Command::new("umount").args(["-R", "-l"]).arg(self.path(name)).run();
        }
    }
}

#[test]
#[ignore = "the test above runs it"]
fn inside_a_mount_table_of_its_own() {
    namespace::enter();
    assert!(namespace::is_own());
    let btr = Btr::new();
    let top = fs::metadata(btr.path("top")).unwrap();
    let file = fs::metadata(btr.path("root/inner/file")).unwrap();
    let stands = Cell::new(0);
    let told = || stands.set(stands.get() + 1);
    let still = Still::new(btr.plan(), &told);
    let root = vault::Still::begin(&still).unwrap();
    let seen = |name: &str| root.join(btr.text(name).trim_start_matches('/'));
    btr.write("another");
    assert_eq!(fs::read_to_string(seen("root/file")).unwrap(), "one");
    assert_eq!(
        fs::read_to_string(seen("root/inner/file")).unwrap(),
        "one",
        "nested subvolumes are shown in their places"
    );
    // By these the next run tells what is unchanged.
    let shown = fs::metadata(seen("root/inner/file")).unwrap();
    let facts = |meta: &fs::Metadata| (meta.ino(), meta.len(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    assert_eq!(facts(&shown), facts(&file));
    assert!(fs::write(seen("root/file"), "x").is_err(), "it cannot be written to");
    assert_eq!(btr.snapshots(), 2);
    // A run at work is left alone by all others.
    assert_eq!(sweep(), left::Left::default());
    assert_eq!(vault::Still::held(&still), Ok(()));
    let outcome = still.close();
    assert_eq!((outcome.still.into_iter().collect::<Vec<_>>(), outcome.wrong), (vec![btr.text("root")], Vec::new()));
    assert_eq!(btr.snapshots(), 0);
    assert_eq!(fs::metadata(btr.path("top")).unwrap().modified().unwrap(), top.modified().unwrap());

    // A run that is killed.
    let plan = btr.plan();
    let killed = Still::new(plan, &told);
    vault::Still::begin(&killed).unwrap();
    {
        let mut state = killed.state.borrow_mut();
        state.tree = None;
        std::mem::forget(std::mem::take(&mut state.taken));
        state.lease = None;
    }
    // Its mount table ends with it.
    run("umount", &["/run/lifeboat-tops/0"]);
    run("btrfs", &["--quiet", "subvolume", "snapshot", "-r", &btr.text("root"), &btr.text("top/lifeboat-snap-mine")]);
    assert_eq!(btr.snapshots(), 2);
    let (stream, first) = (btr.text("stream"), left_by(&btr));
    run("btrfs", &["--quiet", "send", "-f", &stream, &btr.text(&format!("top/{first}"))]);
    let left = sweep();
    assert_eq!((left.removed.len(), left.stayed.len()), (2, 0), "{left:?}");
    assert_eq!(btr.snapshots(), 0);
    assert!(btr.path("top/lifeboat-snap-mine").exists(), "what others have named alike stays");
    run("btrfs", &["--quiet", "receive", "-f", &stream, &btr.text("top")]);
    assert_eq!(sweep(), left::Left::default(), "and so does a copy that was received");
    run("btrfs", &["--quiet", "subvolume", "delete", &btr.text(&format!("top/{first}"))]);

    // A subvolume that is new would be missing.
    let still = Still::new(btr.plan(), &told);
    run("btrfs", &["--quiet", "subvolume", "create", &btr.text("root/new")]);
    let refused = vault::Still::begin(&still).unwrap_err();
    assert!(refused.contains("was made meanwhile"), "{refused}");
    assert_eq!(
        (btr.snapshots(), stands.get()),
        (0, 2),
        "whoever waits for it is told when all stands still, and only then"
    );
}
