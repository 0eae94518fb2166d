//! `lifeboat guests restore` and `status` from outside, with stand-ins for Proxmox VE's programs that write down how they are called.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod host;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use guests::proxmox::vma::writer::Writer;
use host::{Host, said};
use manifest::Digest;
use serde_json::{Value, json};

/// What all stand-ins begin with: the call is written down; `NODE` is the node's folder.
const BEGIN: &str = r#"#!/bin/sh
echo "${0##*/} $*" >> "$HERE/calls"
NODE=$HERE/root/etc/pve/nodes/pve1
"#;
/// Lists the disks that are in `disks`, and a backup, which is none.
const PVESM: &str = r#"echo 'Volid Format Type Size VMID'
grep "^$2:" "$HERE/disks" 2>/dev/null | sed 's/$/ raw images 1 100/'
echo "$2:backup/vzdump-qemu-100-2024_01_02-03_04_05.vma vma backup 1 100"
[ ! -e "$HERE/no-storage" ]
"#;
/// Restores as it is told by files: `fail-ID`, `cut-ID` (dies with who called it, half done), `late-ID` (the same, when it is done).
const RESTORE: &str = r#"made() { echo "$3" >> "$HERE/disks"; cat "$HERE/inside-$1" > "$NODE/$2/$1.conf"; }
restore() { # ID FOLDER DISK
    [ ! -e "$NODE/$2/$1.conf" ] || { echo "a configuration is there" >&2; exit 9; }
    if [ -e "$HERE/fail-$1" ]; then rm -f "$NODE/$2/$1.conf" "$HERE/root/etc/pve/firewall/$1.fw"
        echo "no space in the pool" >&2; echo "cipassword: hunter2"; exit 2; fi
    if [ -e "$HERE/cut-$1" ]; then rm "$HERE/cut-$1"
        echo "lock: create" > "$NODE/$2/$1.conf"; echo "$3" >> "$HERE/disks"; kill -9 $PPID; sleep 9; fi
    made "$@"
    if [ -e "$HERE/late-$1" ]; then rm "$HERE/late-$1"; kill -9 $PPID; sleep 9; fi
}
"#;
const QMRESTORE: &str = "restore \"$2\" qemu-server fast:vm-$2-disk-0\n";
/// `set` changes one option of the configuration, as the platform does.
const QM: &str = r#"case $1 in
status) cat "$HERE/status" 2>/dev/null || echo "status: stopped" ;;
set) sed -i "/^onboot:/d" "$CONF"; [ "$3" != --onboot ] || echo "onboot: $4" >> "$CONF" ;;
esac
"#;

const CONFIG: &str =
    "agent: 1\ncipassword: hunter2\nname: mail\nonboot: 1\nprotection: 1\nscsi0: fast:vm-100-disk-0,size=1G\n";

struct Node(Host);

impl std::ops::Deref for Node {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl Node {
    /// A node with machine 100 and container 101, whose archives are there and whose disks are not.
    fn new() -> Self {
        let mut node = Self(Host::new());
        let here = node.path("");
        node.0.set("HERE", here);
        node.write("root/etc/pve/.members", r#"{"nodename": "pve1", "version": 0}"#);
        node.write("root/etc/pve/firewall/100.fw", "[OPTIONS]\nenable: 1\n");
        node.write("root/etc/pve/nodes/pve1/qemu-server/100.conf", CONFIG);
        node.write(
            "root/etc/pve/nodes/pve1/lxc/101.conf",
            "hostname: web\nonboot: 1\nrootfs: slow:vm-101-disk-0,size=1G\n",
        );
        node.write("inside-100", CONFIG);
        node.write("inside-101", "hostname: web\nonboot: 1\nrootfs: slow:vm-101-disk-0,size=1G\n");
        let conf = |kind: &str| format!("CONF=$NODE/{kind}/$2.conf\n");
        let stand_ins = [
            ("pvesm", PVESM.to_owned()),
            ("qmrestore", format!("{RESTORE}{QMRESTORE}")),
            ("qm", conf("qemu-server") + QM),
            ("pct", format!("{RESTORE}[ $1 != restore ] || restore \"$2\" lxc slow:vm-$2-disk-0\n{}{QM}", conf("lxc"))),
        ];
        for (name, body) in stand_ins {
            let path = node.write(&format!("bin/{name}"), format!("{BEGIN}{body}"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        node.revival(&[node.machine(), node.container()], &[]);
        node
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn archive(&self, name: &str, bytes: &[u8]) -> Value {
        self.write(&format!("root/var/lib/vz/dump/{name}"), bytes);
        json!({ "path": format!("/var/lib/vz/dump/{name}"), "storage": "local", "bytes": bytes.len(),
            "made": "2024-01-02T03:04:05", "sha256": Digest::of(bytes), "held": "captured" })
    }

    fn machine(&self) -> Value {
        let writer = Writer::new(*b"0123456789abcdef").config("qemu-server.conf", CONFIG.as_bytes());
        let bytes = writer.device("drive-scsi0", 100_000).bytes(&[&[7; 100_000]]).unwrap();
        let archive = self.archive("vzdump-qemu-100-2024_01_02-03_04_05.vma", &bytes);
        json!({ "id": "100", "name": "mail", "kind": "machine", "starts": true, "archive": archive })
    }

    fn container(&self) -> Value {
        self.write("tree/etc/hostname", "web\n");
        let tar = Command::new("tar").arg("-C").arg(self.path("tree")).args(["-cf", "-", "./etc"]).output().unwrap();
        assert!(tar.status.success());
        let archive = self.archive("vzdump-lxc-101-2024_01_02-03_04_05.tar", &tar.stdout);
        json!({ "id": "101", "name": "web", "kind": "container", "starts": true, "order": 1, "archive": archive })
    }

    fn revival(&self, guests: &[Value], cluster: &[&str]) {
        let platform = json!({ "kind": "proxmox", "node": "pve1", "cluster": cluster, "guests": guests });
        let revival = json!({ "schema": 1, "snapshot": 7, "platforms": [platform] });
        self.write("root/var/lib/lifeboat/guests/revival.json", revival.to_string());
    }

    /// The rescue's word on guest 100, for the list of guests that is there.
    fn offline(&self, volumes: &[&str], failed: Option<&str>) {
        let revival = self.read("root/var/lib/lifeboat/guests/revival.json");
        let mut guest = json!({ "id": "100", "volumes": volumes });
        if let Some(why) = failed {
            guest["failed"] = why.into();
        }
        let word = json!({ "schema": 1, "revival": Digest::of(revival.as_bytes()), "guests": [guest] });
        self.write("root/var/lib/lifeboat/guests/offline.json", word.to_string());
    }

    /// Runs `lifeboat guests restore`, which must end with `code`; what it said.
    fn restore(&self, code: i32, args: &[&str]) -> String {
        self.ends(code, &[&["guests", "restore", "--root", "ROOT", "--wait", "0"], args].concat())
    }

    fn status(&self, code: i32) -> Value {
        let output = self.run(&["guests", "status", "--root", "ROOT", "--json"]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.read(&format!("root/var/lib/lifeboat/guests/state/proxmox-{id}.json"))).unwrap()
    }

    fn kept(&self, name: &str) -> String {
        self.read(&format!("root/var/lib/lifeboat/guests/{name}"))
    }

    fn config(&self) -> String {
        self.read("root/etc/pve/nodes/pve1/qemu-server/100.conf")
    }

    /// Calls of the stand-ins that change something.
    fn calls(&self) -> Vec<String> {
        let calls = self.read("calls").replace(&self.text("root"), "");
        calls.lines().filter(|call| !call.starts_with("pvesm")).map(str::to_owned).collect()
    }
}

const QMRESTORED: &str = "qmrestore /var/lib/vz/dump/vzdump-qemu-100-2024_01_02-03_04_05.vma 100 --storage fast";
const PCTRESTORED: &str = "pct restore 101 /var/lib/vz/dump/vzdump-lxc-101-2024_01_02-03_04_05.tar --storage slow";

#[test]
fn guests_come_back_in_their_order_and_only_once() {
    let node = Node::new();
    assert_eq!(node.status(3)["guests"][0]["phase"], "waiting");
    let planned = node.restore(0, &["--dry-run"]);
    assert!(planned.contains("pct restore 101") && planned.find("101 web") < planned.find("100 mail"), "{planned}");
    assert!(node.calls().is_empty() && !node.path("root/var/lib/lifeboat/guests/state").exists());
    node.restore(0, &[]);
    assert_eq!(node.calls(), [PCTRESTORED, QMRESTORED]);
    let status = node.status(0);
    assert_eq!((&status["verdict"], &status["done"]), (&"restored".into(), &true.into()));
    assert_eq!(node.kept("aside/100.conf"), CONFIG);
    assert_eq!(node.kept("aside/100.fw"), node.read("root/etc/pve/firewall/100.fw"));
    let mode = fs::metadata(node.path("root/var/lib/lifeboat/guests/aside/100.conf")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    node.restore(0, &[]);
    node.restore(0, &["--only", "100"]);
    assert_eq!(node.calls().len(), 2, "what is restored is not restored again");
    node.restore(0, &["--only", "100", "--again"]);
    assert_eq!(node.calls()[2..], ["qm status 100", QMRESTORED]);
    node.write("status", "status: running\n");
    let said = node.restore(30, &["--only", "100", "--again"]);
    assert!(said.contains("guest 100 runs; stop it first") && node.calls().len() == 5, "{said}");
    assert_eq!(node.state("100")["phase"], "restored");
    node.restore(2, &["--again"]);
    assert!(node.restore(2, &["--only", "777"]).contains("no guest 777"));
}

#[test]
fn a_guest_that_fails_gets_its_configuration_back_and_stops_no_other() {
    let node = Node::new();
    node.write("root/etc/pve/firewall/101.fw", "[RULES]\n");
    node.write("fail-101", "");
    let said = node.restore(3, &[]);
    assert!(
        said.contains("exit code 2") && said.contains("no space in the pool") && said.contains("put back"),
        "{said}"
    );
    assert_eq!(node.calls(), [PCTRESTORED, QMRESTORED]);
    let config = "root/etc/pve/nodes/pve1/lxc/101.conf";
    assert_eq!(node.read(config), "onboot: 0\nhostname: web\nrootfs: slow:vm-101-disk-0,size=1G\n");
    assert_eq!(node.read("root/etc/pve/firewall/101.fw"), "[RULES]\n");
    assert_eq!((&node.state("101")["phase"], &node.state("100")["phase"]), (&"failed".into(), &"restored".into()));
    assert!(node.kept("done").len() > 60, "all is decided");
    node.restore(3, &[]);
    assert_eq!(node.calls().len(), 2, "a guest that failed is tried again only by name");
    fs::remove_file(node.path("fail-101")).unwrap();
    node.restore(0, &["--only", "101"]);
    assert_eq!(node.calls()[2..], ["pct status 101", PCTRESTORED]);
    assert!(node.read(config).contains("onboot: 1") && node.kept("aside/101.conf").contains("onboot: 1"));
    node.status(0);
}

#[test]
fn a_run_that_was_killed_goes_on_and_what_lies_aside_is_never_lost() {
    let node = Node::new();
    node.write("cut-100", "");
    assert_eq!(node.run(&["guests", "restore", "--root", "ROOT", "--wait", "0"]).status.code(), None);
    assert_eq!((node.kept("aside/100.conf").as_str(), node.config().as_str()), (CONFIG, "lock: create\n"));
    assert_eq!(node.state("100")["phase"], "restoring");
    assert!(!node.path("root/var/lib/lifeboat/guests/done").exists());
    // Killed once more: what it finds now is half a guest, and not to be kept as the original.
    node.write("cut-100", "");
    assert_eq!(node.run(&["guests", "restore", "--root", "ROOT", "--wait", "0"]).status.code(), None);
    assert_eq!(node.kept("aside/100.conf"), CONFIG);
    node.restore(0, &[]);
    assert_eq!(node.calls(), [PCTRESTORED, QMRESTORED, QMRESTORED, QMRESTORED]);
    assert_eq!((node.kept("aside/100.conf").as_str(), node.config().as_str()), (CONFIG, CONFIG));
    assert!(!node.path("root/var/lib/lifeboat/guests/aside/100.conf.1").exists());
}

#[test]
fn a_run_that_was_killed_and_cannot_go_on_puts_the_configuration_back() {
    let node = Node::new();
    node.write("cut-100", "");
    assert_eq!(node.run(&["guests", "restore", "--root", "ROOT", "--wait", "0"]).status.code(), None);
    fs::remove_file(node.path("root/var/lib/vz/dump/vzdump-qemu-100-2024_01_02-03_04_05.vma")).unwrap();
    assert!(node.restore(3, &[]).contains("the snapshot held it"));
    assert!(node.config().contains("onboot: 0") && node.config().contains("cipassword: hunter2"), "{}", node.config());
}

#[test]
fn a_run_that_was_killed_when_the_guest_was_back_does_not_restore_it_again() {
    let node = Node::new();
    node.write("late-100", "");
    node.write("inside-100", CONFIG.replace("onboot: 1\n", ""));
    assert_eq!(node.run(&["guests", "restore", "--root", "ROOT", "--wait", "0"]).status.code(), None);
    node.restore(0, &[]);
    assert_eq!(node.calls(), [PCTRESTORED, QMRESTORED, "qm set 100 --onboot 1"]);
    assert!(node.config().contains("onboot: 1"));
}

#[test]
fn a_configuration_without_disks_is_no_guest_that_is_back() {
    let node = Node::new();
    node.write("cut-100", "");
    assert_eq!(node.run(&["guests", "restore", "--root", "ROOT", "--wait", "0"]).status.code(), None);
    // Somebody helps himself to the copy that lies aside, and the half restored disk is not there.
    node.write("root/etc/pve/nodes/pve1/qemu-server/100.conf", CONFIG);
    node.write("disks", "slow:vm-101-disk-0\n");
    node.restore(0, &[]);
    assert_eq!(node.calls(), [PCTRESTORED, QMRESTORED, QMRESTORED]);
}

#[test]
fn disks_that_are_there_are_not_restored_over() {
    let node = Node::new();
    node.write("disks", "fast:vm-100-disk-0\n");
    let said = node.restore(0, &[]);
    assert!(said.contains("its disks are there (fast:vm-100-disk-0)"), "{said}");
    assert_eq!(node.calls(), [PCTRESTORED]);
    assert_eq!((node.config().as_str(), &node.state("100")["phase"]), (CONFIG, &"skipped".into()));
    node.restore(0, &["--only", "100", "--again"]);
    assert_eq!(node.calls()[1..], ["qm status 100", QMRESTORED]);
    // Half of a guest is a loss, and nothing to restore over either.
    let node = Node::new();
    let two = format!("{CONFIG}scsi1: fast:vm-100-disk-1\n");
    node.write("root/etc/pve/nodes/pve1/qemu-server/100.conf", &two);
    node.write("disks", "fast:vm-100-disk-1\n");
    assert!(node.restore(3, &[]).contains("some are not (fast:vm-100-disk-0)"));
    assert_eq!((node.config(), node.calls()), (two, vec![PCTRESTORED.to_owned()]));
    // What cannot be asked may be there.
    let node = Node::new();
    node.write("no-storage", "");
    assert!(node.restore(3, &[]).contains("storage fast cannot be asked"));
    assert!(node.calls().is_empty());
}

#[test]
fn an_archive_that_is_not_the_recorded_one_is_refused_before_anything_is_changed() {
    for (change, words) in
        [("digest", "its digest differs"), ("length", "was recorded with"), ("gone", "cannot be opened")]
    {
        let node = Node::new();
        let path = node.path("root/var/lib/vz/dump/vzdump-qemu-100-2024_01_02-03_04_05.vma");
        let mut bytes = fs::read(&path).unwrap();
        match change {
            "digest" => *bytes.last_mut().unwrap() ^= 1,
            _ => bytes.truncate(9000),
        }
        if change == "gone" {
            fs::remove_file(&path).unwrap()
        } else {
            fs::write(&path, bytes).unwrap()
        }
        let said = node.restore(3, &[]);
        assert!(said.contains(words) && said.contains("nothing was changed"), "{said}");
        assert_eq!((node.config().as_str(), node.calls()), (CONFIG, vec![PCTRESTORED.to_owned()]));
        assert!(!node.path("root/var/lib/lifeboat/guests/aside/100.conf").exists());
    }
}

#[test]
fn what_differs_is_told_and_no_password_is_written_down() {
    let node = Node::new();
    let inside = "cipassword: hunter3\nname: mail\nmemory: 512\nscsi0: fast:vm-100-disk-0,size=1G\nunknown: 1\n";
    node.write("inside-100", inside);
    let mut said = node.restore(0, &[]);
    assert!(said.contains("differs: memory: the host had nothing, now 512"), "{said}");
    assert_eq!(node.calls()[2..], ["qm set 100 --onboot 1"]);
    let state = node.state("100");
    let options: Vec<&str> =
        state["differences"].as_array().unwrap().iter().map(|one| one["option"].as_str().unwrap()).collect();
    assert_eq!(options, ["agent", "cipassword", "memory", "protection", "unknown"]);
    node.write("fail-101", "");
    said += &node.restore(3, &["--only", "101", "--again"]);
    said += &(node.kept("state/proxmox-100.json") + &node.kept("state/proxmox-101.json") + &node.kept("log.jsonl"));
    assert!(!said.contains("hunter"), "{said}");
    for line in node.kept("log.jsonl").lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["text"].is_string());
    }
}

#[test]
fn a_node_that_is_not_ready_is_tried_later_and_nothing_is_touched() {
    let node = Node::new();
    let guests = [node.machine(), node.container()];
    let member =
        |quorate: u8| json!({ "nodename": "pve1", "cluster": { "name": "c", "quorate": quorate } }).to_string();
    let cases = [(member(0), "no quorum"), (json!({ "nodename": "pve1" }).to_string(), "has not joined it yet")];
    node.revival(&guests, &["pve1", "pve2"]);
    for (members, words) in cases {
        node.write("root/etc/pve/.members", members);
        assert!(node.restore(75, &[]).contains(words));
    }
    fs::remove_file(node.path("root/etc/pve/.members")).unwrap();
    assert!(node.restore(75, &[]).contains("is not mounted"));
    assert_eq!((node.config().as_str(), node.calls()), (CONFIG, Vec::new()));
    assert!(!node.path("root/var/lib/lifeboat/guests/done").exists());
    node.write("root/etc/pve/.members", member(1));
    node.write("root/etc/pve/nodes/pve2/qemu-server/100.conf", CONFIG);
    let said = node.restore(0, &[]);
    assert!(said.contains("nodes/pve2/qemu-server/100.conf now; it was left alone"), "{said}");
    assert_eq!(node.calls(), [PCTRESTORED]);
}

#[test]
fn a_guest_without_an_archive_is_named() {
    let node = Node::new();
    let mut machine = node.machine();
    machine.as_object_mut().unwrap().remove("archive");
    node.revival(&[machine, node.container()], &[]);
    assert!(node.restore(3, &[]).contains("NO ARCHIVE"));
    assert_eq!((&node.state("100")["phase"], node.calls()), (&"no-archive".into(), vec![PCTRESTORED.to_owned()]));
    assert_eq!(node.status(3)["done"], true);
}

#[test]
fn what_an_earlier_restore_left_says_nothing_of_this_one() {
    let node = Node::new();
    node.restore(0, &[]);
    fs::remove_file(node.path("disks")).unwrap();
    let newer = format!("{CONFIG}tags: newer\n");
    node.write("root/etc/pve/nodes/pve1/qemu-server/100.conf", &newer);
    let revival = node.kept("revival.json").replace("\"snapshot\":7", "\"snapshot\":8");
    node.write("root/var/lib/lifeboat/guests/revival.json", revival);
    assert_eq!(node.status(3)["done"], false);
    node.restore(0, &[]);
    assert_eq!(node.calls(), [PCTRESTORED, QMRESTORED, PCTRESTORED, QMRESTORED]);
    assert_eq!((node.kept("aside/100.conf"), node.kept("aside/100.conf.1").as_str()), (newer, CONFIG));
}

#[test]
fn a_list_that_nobody_sane_has_written_is_refused_as_a_whole() {
    let node = Node::new();
    node.revival(&[json!({ "id": "../../100", "name": "", "kind": "machine", "starts": true })], &[]);
    assert!(node.restore(21, &[]).contains("is no number of a guest"));
    node.write("root/var/lib/lifeboat/guests/revival.json", "{");
    node.restore(21, &[]);
    fs::remove_file(node.path("root/var/lib/lifeboat/guests/revival.json")).unwrap();
    node.restore(10, &[]);
    node.ends(10, &["guests", "status", "--root", "ROOT"]);
    assert!(node.calls().is_empty());
}

#[test]
fn two_runs_at_once_are_refused() {
    let node = Node::new();
    let lock = fs::File::create(node.path("root/var/lib/lifeboat/guests/lock")).unwrap();
    lock.lock().unwrap();
    assert!(node.restore(11, &[]).contains("another run brings guests back"));
    drop(lock);
    node.restore(0, &[]);
}

/// The unit that the rescue installs runs what these tests run.
#[test]
fn the_unit_runs_once_and_before_guests_start() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../templates/guests/lifeboat-guests.service"))
        .unwrap();
    for line in [
        "ExecStart=@LIFEBOAT@ guests restore",
        "ConditionPathExists=/var/lib/lifeboat/guests/revival.json",
        "ConditionPathExists=!/var/lib/lifeboat/guests/done",
        "Before=pve-guests.service pve-ha-lrm.service pve-ha-crm.service",
        "TimeoutStartSec=infinity",
    ] {
        assert!(unit.lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn a_guest_whose_disks_the_rescue_brought_back_is_restored_and_left_as_it_is() {
    let node = Node::new();
    let config = format!("{CONFIG}\n[before]\nsnaptime: 1\n");
    node.write("root/etc/pve/nodes/pve1/qemu-server/100.conf", &config);
    node.write("disks", "fast:vm-100-disk-0\n");
    node.offline(&["pve/vm-100-disk-0"], None);
    node.restore(0, &[]);
    assert_eq!(node.calls(), [PCTRESTORED], "nothing is restored over its disks");
    let state = node.state("100");
    assert_eq!(state["phase"], "restored");
    assert!(
        state["detail"].as_str().unwrap().contains("the rescue brought its disks back (pve/vm-100-disk-0)"),
        "{state}"
    );
    assert!(state["notes"][0].as_str().unwrap().contains("qm delsnapshot 100 before"), "{state}");
    assert_eq!(node.config(), config, "it starts with the host as before");
    assert_eq!(node.status(0)["verdict"], "restored");
}

#[test]
fn a_guest_that_the_rescue_could_not_bring_back_comes_back_as_the_others_do() {
    let node = Node::new();
    node.offline(&[], Some("the pool is full"));
    node.restore(0, &[]);
    assert_eq!(node.calls(), [PCTRESTORED, QMRESTORED]);
    let state = node.state("100");
    assert_eq!(state["phase"], "restored");
    assert!(
        state["notes"]
            .to_string()
            .contains("the rescue did not bring it back before the first start: the pool is full"),
        "{state}"
    );
}

#[test]
fn half_written_disks_of_the_rescues_are_never_taken_for_the_guest() {
    let node = Node::new();
    node.write("disks", "fast:vm-100-disk-0\n");
    node.offline(&["pve/vm-100-disk-0"], Some("the pool is full"));
    let said = node.restore(3, &[]);
    assert!(said.contains("remove pve/vm-100-disk-0"), "{said}");
    assert_eq!(node.calls(), [PCTRESTORED]);
    node.write("disks", "");
    node.restore(0, &["--only", "100"]);
    assert_eq!(node.calls()[1..], [QMRESTORED]);
}

#[test]
fn the_rescues_word_on_another_list_of_guests_says_nothing() {
    let node = Node::new();
    node.write("disks", "fast:vm-100-disk-0\n");
    node.offline(&["pve/vm-100-disk-0"], None);
    node.revival(&[node.machine()], &[]);
    node.restore(0, &[]);
    assert_eq!(node.state("100")["phase"], "skipped");
    // One that cannot be read is said, and nothing is taken for granted.
    let node = Node::new();
    node.write("disks", "fast:vm-100-disk-0\n");
    node.write("root/var/lib/lifeboat/guests/offline.json", "{");
    assert!(node.restore(0, &[]).contains("offline.json"));
    assert_eq!(node.state("100")["phase"], "skipped");
}
