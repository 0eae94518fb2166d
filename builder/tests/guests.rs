//! `lifeboat guests` from outside: archives that are whole and that are not, and what of a node's guests no backup holds.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use guests::proxmox::vma::writer::Writer;
use serde_json::Value;

/// A folder with archives and a node's files in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.arg("guests").args(args).env("LIFEBOAT_STATE", self.path("state")).env_remove("LIFEBOAT_CONFIG");
        command.output().unwrap()
    }

    /// Runs it, which must end with `code`; what it said on both streams.
    fn ends(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    }

    fn json(&self, code: i32, args: &[&str]) -> Value {
        let output = self.run(&[&["--json"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A machine's archive with two disks.
fn machine() -> Vec<u8> {
    let (first, second) = (vec![7; 300_000], vec![0; 200_000]);
    let writer = Writer::new(*b"0123456789abcdef").config("qemu-server.conf", b"name: mail\n");
    let writer = writer.device("drive-scsi0", 300_000).device("drive-scsi1", 200_000);
    writer.bytes(&[&first, &second]).unwrap()
}

const NAME: &str = "dump/vzdump-qemu-100-2024_01_02-03_04_05.vma";

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_whole_archive_is_sound_and_says_what_is_in_it() {
    let place = Place::new();
    let plain = place.write(NAME, &machine());
    let said = place.ends(0, &["verify", &plain]);
    assert!(said.contains("sound") && said.contains("disk drive-scsi0") && said.contains("qemu-server.conf"), "{said}");
    assert!(said.contains("a bit of it that changed cannot be told"), "{said}");
    let packed = place.write(&format!("{NAME}.zst"), &zstd(&machine()));
    assert!(!place.ends(0, &["verify", &packed]).contains("note:"));
    let report = place.json(0, &["verify", &plain, &packed]);
    assert_eq!((&report["schema"], &report["verdict"]), (&1.into(), &"sound".into()));
    let second = &report["archives"][1];
    assert_eq!(
        (&second["form"], &second["packing"], &second["content_sum"]),
        (&"vma".into(), &"zstd".into(), &true.into())
    );
    assert_eq!(second["devices"][0]["size"], 300_000);
    assert_eq!(second["devices"][1]["stored"], 0);
    assert_eq!(second["faults"], Value::Array(Vec::new()));
}

#[test]
fn damage_ends_with_21_and_is_named_with_its_place() {
    let place = Place::new();
    let good = place.write("good.vma", &machine());
    let mut bytes = machine();
    let length = bytes.len();
    bytes[12800 + 45] ^= 1;
    let bad = place.write(NAME, &bytes);
    let said = place.ends(21, &["verify", &bad, &good]);
    assert!(
        said.contains("DAMAGED") && said.contains("extent 1 at byte 12800: its header does not match its sum"),
        "{said}"
    );
    assert!(said.contains("good.vma: sound"), "{said}");
    let report = place.json(21, &["verify", &bad, &good]);
    assert_eq!(report["verdict"], "damaged");
    assert_eq!(report["archives"][0]["sound"], false);
    assert!(report["archives"][0]["faults"][0]["object"].as_str().unwrap().starts_with("extent 1"));
    let cut = place.write("cut.vma", &machine()[..length - 1]);
    assert!(place.ends(21, &["verify", &cut]).contains("cut off"));
    let half = zstd(&machine());
    let half = place.write("half.vma.zst", &half[..half.len() / 2]);
    assert!(place.ends(21, &["verify", &half]).contains("the compressed stream is cut off"));
    let empty = place.write("empty.vma", b"");
    assert!(place.ends(21, &["verify", &empty]).contains("is empty"));
    let named = place.write("dump/vzdump-lxc-101-2024_01_02-03_04_05.tar", &machine());
    let said = place.ends(21, &["verify", &named]);
    assert!(said.contains("by its name it holds files (tar), but it holds disks (VMA)"), "{said}");
}

#[test]
fn a_containers_archive_by_gnu_tar_is_read() {
    let place = Place::new();
    place.write("root/etc/vzdump/pct.conf", b"arch: amd64\n");
    place.write(&format!("root/var/{}", "long".repeat(40)), &[1; 5000]);
    let holes = fs::File::create(place.path("root/var/holes")).unwrap();
    holes.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"data", 5 << 20).unwrap();
    std::os::unix::fs::symlink("holes", place.path("root/var/link")).unwrap();
    for (format, packing) in [("pax", "--zstd"), ("gnu", "--gzip"), ("pax", "--no-auto-compress")] {
        let archive = place.path(&format!("{format}{packing}.tar"));
        let status = Command::new("tar")
            .args(["--sparse", "--numeric-owner", packing, &format!("--format={format}"), "-C"])
            .args([&place.path("root"), &PathBuf::from("-cf"), &archive])
            .args(["./etc", "./var"])
            .status();
        assert!(status.unwrap().success());
        let report = place.json(0, &["verify", archive.to_str().unwrap()]);
        let found = &report["archives"][0];
        assert_eq!((&found["form"], &found["members"]), (&"tar".into(), &7.into()), "{found}");
        assert_eq!(found["configs"][0], "etc/vzdump/pct.conf");
        let mut bytes = fs::read(&archive).unwrap();
        bytes.truncate(bytes.len() / 2);
        let cut = place.write("cut.tar", &bytes);
        place.ends(21, &["verify", &cut]);
    }
}

/// What lzop and bzip2 of Debian have packed: see `guests/fixtures/packing`.
#[test]
fn archives_by_lzop_and_bzip2_are_read_and_damage_to_them_is_named() {
    let place = Place::new();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/fixtures/packing");
    for (name, form, packing, sum) in [
        ("small-3.vma.lzo", "vma", "lzo", true),
        ("small-nosum.vma.lzo", "vma", "lzo", false),
        ("small.vma.bz2", "vma", "bzip2", true),
        ("container.tar.lzo", "tar", "lzo", true),
        ("container.tar.bz2", "tar", "bzip2", true),
    ] {
        let path = packed.join(name);
        let report = place.json(0, &["verify", path.to_str().unwrap()]);
        let found = &report["archives"][0];
        assert_eq!(
            (&found["form"], &found["packing"], &found["content_sum"]),
            (&form.into(), &packing.into(), &sum.into())
        );
        let mut bytes = fs::read(&path).unwrap();
        let cut = place.write(name, &bytes[..bytes.len() - 40]);
        assert!(place.ends(21, &["verify", &cut]).contains("cut off"), "{name}");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        let changed = place.write(name, &bytes);
        if sum {
            place.ends(21, &["verify", &changed]);
        }
    }
}

#[test]
fn what_cannot_be_read_is_no_damage() {
    let place = Place::new();
    assert!(place.ends(1, &["verify", "/no/such.vma"]).contains("verifying /no/such.vma"));
    place.ends(2, &["verify"]);
}

/// A node's database, with a machine and a container, and the storage `local`.
fn node(place: &Place, files: &[(&str, &str)]) -> String {
    let path = place.path("config.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let schema = "CREATE TABLE tree (inode INTEGER PRIMARY KEY NOT NULL, parent INTEGER NOT NULL, version INTEGER NOT NULL, \
        writer INTEGER NOT NULL, mtime INTEGER NOT NULL, type INTEGER NOT NULL, name TEXT NOT NULL, data BLOB)";
    connection.execute(schema, []).unwrap();
    let add = |inode: i64, parent: i64, kind: i64, name: &str, data: Option<&[u8]>| {
        let values = rusqlite::params![inode, parent, kind, name, data];
        connection.execute("INSERT INTO tree VALUES (?1, ?2, 1, 1, 0, ?3, ?4, ?5)", values).unwrap();
    };
    add(0, 0, 8, "__version__", None);
    for (inode, parent, name) in [(1, 0, "nodes"), (2, 1, "pve1"), (3, 2, "qemu-server"), (4, 2, "lxc")] {
        add(inode, parent, 4, name, None);
    }
    for (at, (path, text)) in files.iter().enumerate() {
        let (folder, name) = path.split_once('/').unwrap_or(("", path));
        let parent = match folder {
            "qemu-server" => 3,
            "lxc" => 4,
            _ => 0,
        };
        add(10 + at as i64, parent, 8, name, Some(text.as_bytes()));
    }
    path.to_str().unwrap().to_owned()
}

const MACHINE: (&str, &str) = ("qemu-server/100.conf", "name: mail\nscsi0: local-lvm:vm-100-disk-0,size=32G\n");

/// The name of an archive that was made just now.
fn fresh(kind: &str, guest: &str, form: &str) -> String {
    let now = jiff::Zoned::now().strftime("%Y_%m_%d-%H_%M_%S").to_string();
    format!("root/var/lib/vz/dump/vzdump-{kind}-{guest}-{now}.{form}")
}

fn list<'a>(database: &'a str, root: &'a str) -> [&'a str; 5] {
    ["list", "--database", database, "--root", root]
}

#[test]
fn guests_with_recent_backups_of_all_their_data_are_covered() {
    let place = Place::new();
    let database = node(&place, &[MACHINE, ("lxc/101.conf", "hostname: web\nrootfs: local-lvm:vm-101-disk-0\n")]);
    place.write(&fresh("qemu", "100", "vma.zst"), b"");
    place.write(&fresh("lxc", "101", "tar.zst"), b"");
    let root = place.path("root").to_str().unwrap().to_owned();
    let report = place.json(0, &list(&database, &root));
    assert_eq!((&report["verdict"], &report["node"]), (&"covered".into(), &"pve1".into()));
    assert_eq!(report["storages"][0]["archives"], 2);
    assert_eq!(report["guests"][0]["newest"]["guest"], "100");
    let said = place.ends(0, &list(&database, &root));
    assert!(said.contains("machine 100 mail: /var/lib/vz/dump/vzdump-qemu-100-"), "{said}");
}

#[test]
fn what_would_not_come_back_ends_with_3_and_is_named() {
    let place = Place::new();
    let web = ("lxc/101.conf", "hostname: web\nrootfs: local-lvm:vm-101-disk-0\nmp0: /srv/data,mp=/data\n");
    let storages =
        "dir: local\n\tpath /var/lib/vz\n\tcontent backup\n\nnfs: nas\n\texport /e\n\tserver s\n\tcontent backup\n";
    let broken = ("qemu-server/102.conf", "name: broken\nnonsense\n");
    let database = node(&place, &[MACHINE, web, broken, ("storage.cfg", storages)]);
    place.write("root/var/lib/vz/dump/vzdump-qemu-100-2020_01_02-03_04_05.vma.zst", b"");
    place.write("root/var/lib/vz/dump/vzdump-qemu-100-2020_02_02-03_04_05.vma.dat", b"");
    let root = place.path("root").to_str().unwrap().to_owned();
    let said = place.ends(3, &list(&database, &root));
    for words in [
        "GAP: its newest backup is of 2020-01-02T03:04:05",
        "left by a run that was cut: vzdump-qemu-100-2020_02_02-03_04_05",
        "container 101 web: no backup",
        "GAP: there is no backup of it",
        "GAP: mp0 is the host's folder /srv/data, mounted at /data",
        "storage nas (/mnt/pve/nas/dump): NOT LOOKED INTO",
        "NOT READ: guest 102: nodes/pve1/qemu-server/102.conf, line 2: \"nonsense\"",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert_eq!(place.json(3, &list(&database, &root))["verdict"], "gaps");
}

#[test]
fn a_database_that_a_node_would_refuse_is_corrupt() {
    let place = Place::new();
    let database = node(&place, &[MACHINE]);
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute("UPDATE tree SET parent = 77 WHERE inode = 10", []).unwrap();
    drop(connection);
    let said = place.ends(21, &list(&database, "/"));
    assert!(said.contains("would be refused by its node: row 10: \"100.conf\" lies in row 77"), "{said}");
    let missing = place.ends(1, &["list", "--database", "/no/such.db"]);
    assert!(missing.contains("opening the cluster database /no/such.db"), "{missing}");
}

#[test]
fn an_unknown_node_is_named_with_those_that_are_there() {
    let place = Place::new();
    let database = node(&place, &[MACHINE]);
    let said = place.ends(2, &["list", "--database", &database, "--node", "other"]);
    assert!(said.contains("no node other; it has pve1"), "{said}");
}

#[test]
fn vzdumps_hook_signs_a_sound_archive_so_that_stock_tools_tell_and_refuses_a_damaged_one() {
    let place = Place::new();
    let vault = place.path("vault");
    let made = Command::new(env!("CARGO_BIN_EXE_lifeboat"))
        .args(["init", "--yes", "--identity"])
        .arg(place.path("identity"))
        .arg("--vault")
        .arg(&vault)
        .env("LIFEBOAT_STATE", place.path("state"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let archive = place.write("dump/vzdump-qemu-100-2026_11_20-03_00_00.vma", &machine());
    let widow = place.write("dump/vzdump-qemu-100-2026_01_01-03_00_00.vma.sha256", b"x");
    let others = place.write("dump/somebodys.sha256", b"x");
    let hook = |phase: &str, target: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(["guests", "hook", phase, "snapshot", "100"]).env("LIFEBOAT_STATE", place.path("state"));
        command.env("TARGET", target).output().unwrap()
    };
    assert!(hook("backup-start", "/nowhere").status.success());
    assert!(!PathBuf::from(format!("{archive}.sha256")).exists());
    let output = hook("log-end", &archive);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Judged by the tools that everybody has.
    let dump = place.path("dump");
    let name = "vzdump-qemu-100-2026_11_20-03_00_00.vma";
    let sums = Command::new("sha256sum").args(["-c", &format!("{name}.sha256")]).current_dir(&dump).output().unwrap();
    assert!(sums.status.success());
    let public = fs::read_to_string(place.path("state/host_ed25519.pub")).unwrap();
    place.write("signers", format!("host {public}").as_bytes());
    let verify = |list: &str| {
        let list = fs::File::open(dump.join(list)).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-n", "lifeboat-sums", "-I", "host", "-f"]).arg(place.path("signers"));
        command.arg("-s").arg(dump.join(format!("{name}.sha256.sig"))).stdin(list).output().unwrap().status.success()
    };
    assert!(verify(&format!("{name}.sha256")));
    assert!(!verify("somebodys.sha256"));
    assert!(!PathBuf::from(widow).exists() && PathBuf::from(others).exists());
    // One that is damaged keeps no signature from before.
    let mut bytes = machine();
    let end = bytes.len() - 70_000;
    bytes.truncate(end);
    let damaged = place.write("dump/vzdump-qemu-101-2026_11_20-03_00_00.vma", &bytes);
    assert_eq!(hook("log-end", &damaged).status.code(), Some(21));
    assert!(!PathBuf::from(format!("{damaged}.sha256")).exists());
    assert_eq!(hook("log-end", "/etc/hostname").status.code(), Some(2));
}
