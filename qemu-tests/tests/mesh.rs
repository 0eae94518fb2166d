//! A Proxmox node comes back with its guests: on disks of other sizes and with another network card, its cluster's database as one consistent copy,
//! and each guest from its archive at the first start. Its cluster is lost, and it comes back as the seed of a new one. Proxmox itself is not here: pmxcfs, `qmrestore`, `pct` and `pvesm` are stand-ins (scripts of
//! `scripts/hosts/mesh`) that keep the same files and write down how they were called. Everything else is real.

use std::time::Duration;

use qemu_tests::host::{Host, Layout};
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::say;
use qemu_tests::{census, place};
use serde_json::Value;
use vm::{Bus, Card, Running};

const LIMIT: Duration = Duration::from_secs(120);
const FIRST_START: Duration = Duration::from_secs(400);
const MIB: u64 = 1 << 20;
const NEW_CARD: Card = Card { model: "e1000e", mac: "02:00:00:00:05:0a" };

/// The host of `scripts/hosts/mesh`, which starts as a Proxmox node does.
const MESH: Layout = Layout {
    name: "mesh",
    disks: &[("LBHOSTA", 2000 * MIB), ("LBHOSTB", 200 * MIB)],
    uefi: true,
    card: Some(Card { model: "virtio-net-pci", mac: "bc:24:11:00:00:01" }),
    // The first is passed over: the node was a member of a cluster, and it does not say in which way it comes back.
    orders: &[
        "--disk LBNEWA=LBHOSTA --disk LBNEWB=LBHOSTB",
        "--disk LBNEWA=LBHOSTA --disk LBNEWB=LBHOSTB --cluster seed",
    ],
    ..Layout::USUAL
};

/// Rows of the database but for the version, which a node at work counts up.
const ROWS: &str = "sqlite3 -readonly /var/lib/pve-cluster/config.db \
                    \"SELECT inode, parent, type, name, hex(data) FROM tree WHERE name NOT IN ('__version__', 'corosync.conf') ORDER BY inode\"";
/// Only what this finds in the log, and not in the file itself, tells a copy from a backup.
const IN_THE_LOG: &str = "systemctl is-active pve-writer.service >/dev/null && sleep 3 && \
                          ! grep -qa 'written to the log' /var/lib/pve-cluster/config.db && \
                          grep -qa 'written to the log' /var/lib/pve-cluster/config.db-wal";
const BACKUPS: &str = "/srv/backups/dump/vzdump-qemu-100-2026_11_20-03_00_00.vma.zst";
const CONTAINER: &str = "/var/lib/vz/dump/vzdump-lxc-101-2026_11_20-03_10_00.tar.zst";

#[test]
fn a_proxmox_node_comes_back_with_its_guests() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario mesh");
    let host = Host::get(MESH)?;
    let captured = host.captured(&format!("{IN_THE_LOG} && {ROWS}"))?;
    let folder = place::scratch("mesh")?;
    let patient = Patient::new("mesh", host.accel(), &folder, Bus::Sata, "LBNEWA", 2200 * MIB)?
        .and("LBNEWB", 260 * MIB)?
        .with_card(NEW_CARD)
        .uefi();
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    let console = String::from_utf8_lossy(&std::fs::read(place::logs()?.join("mesh-rescue.serial.log"))?).into_owned();
    // The console's lines are wrapped.
    let console = console.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(console.contains("does not say in which way"), "the order without a word on the cluster is named");
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    let cards = &outcome.event("plan")?["cards"]["heirs"];
    assert_eq!((&cards[0]["name"], &cards[0]["new"]), (&"nic0".into(), &NEW_CARD.mac.into()), "{cards}");
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    let done = "while [ ! -e /var/lib/lifeboat/guests/done ]; do sleep 1; done; journalctl --no-pager -o cat -u lifeboat-guests.service";
    let said = running.output(done, FIRST_START)?;
    say(&format!("    the guests are back after {} s", running.elapsed().as_secs()));
    is_the_node(&mut running, &captured.answer()?)?;
    has_its_guests(&mut running, &said)?;
    same_files(&captured.census(1)?, &census::take(&mut running)?);
    running.quit()?;
    say("scenario mesh holds");
    Ok(())
}

/// The database, what lies below its view, the name and the network.
fn is_the_node(running: &mut Running, rows: &str) -> anyhow::Result<()> {
    let check = "sqlite3 -readonly /var/lib/pve-cluster/config.db 'PRAGMA integrity_check'";
    assert_eq!(running.output(check, LIMIT)?.trim(), "ok");
    assert_eq!(running.output(ROWS, LIMIT)?, rows, "each row, those in the log too");
    let alone = "sqlite3 -readonly /var/lib/pve-cluster/config.db \"SELECT count(*) FROM tree WHERE name = 'corosync.conf'\"; ls /etc/corosync";
    let alone = running.output(alone, LIMIT)?;
    assert_eq!(
        alone.split_whitespace().collect::<Vec<_>>(),
        ["0", "authkey.of-the-cluster", "corosync.conf.of-the-cluster"]
    );
    assert_eq!(running.output("stat -c '%a %U' /var/lib/pve-cluster/config.db", LIMIT)?.trim(), "600 root");
    let below = "mount --bind / /mnt && lsattr -d /mnt/etc/pve && ls -A /mnt/etc/pve; umount /mnt";
    let below = running.output(below, LIMIT)?;
    assert!(below.contains('i') && below.lines().count() == 1, "empty and immutable: {below}");
    let card = running.output("cat /sys/class/net/nic0/address && ip -br address show nic0", LIMIT)?;
    assert!(card.contains(NEW_CARD.mac) && card.contains("192.0.2.7/24"), "{card}");
    let pinned = running.output("cat /usr/local/lib/systemd/network/50-pmx-nic0.link", LIMIT)?;
    assert!(pinned.contains(NEW_CARD.mac), "{pinned}");
    Ok(())
}

/// Guests, archives, and what Proxmox's programs were asked to do.
fn has_its_guests(running: &mut Running, said: &str) -> anyhow::Result<()> {
    let calls = running.output("grep -v -e ^pvesm -e '^qm ' -e '^pct s' /var/log/calls", LIMIT)?;
    let restored: Vec<&str> =
        calls.lines().filter(|call| call.contains(" restore ") || call.starts_with("qmrestore")).collect();
    let wanted = [
        format!("pct restore 101 {CONTAINER} --storage local-lvm"),
        format!("qmrestore {BACKUPS} 100 --storage local-lvm"),
    ];
    assert_eq!(restored, wanted, "in the order of their start: {said}");
    assert_eq!(calls.lines().last(), Some("guests are started"), "when all are back: {calls}");
    let verified = running.output(&format!("lifeboat guests verify {BACKUPS} {CONTAINER} --json"), LIMIT)?;
    assert!(verified.contains(r#""verdict": "sound""#), "{verified}");
    let volumes = running.output("lvs --noheadings -o lv_name,pool_lv pve 2>/dev/null | sort", LIMIT)?;
    for volume in ["data", "vm-100-disk-0 data", "vm-101-disk-0 data"] {
        assert!(volumes.split_whitespace().collect::<Vec<_>>().join(" ").contains(volume), "{volumes}");
    }
    let states: Value = serde_json::from_str(&running.output("lifeboat guests status --json || true", LIMIT)?)?;
    let phase = |id: &str| {
        let guests = states["guests"].as_array().into_iter().flatten();
        guests.filter(|guest| guest["id"] == id).map(|guest| guest["phase"].clone()).next()
    };
    assert_eq!((phase("100"), phase("101")), (Some("restored".into()), Some("restored".into())), "{states}");
    let container = running.output("cat /etc/pve/nodes/mesh/lxc/101.conf", LIMIT)?;
    assert!(container.contains("onboot: 1") && container.contains("startup: order=1"), "as on the host: {container}");
    let older = running.output("ls /srv/backups/dump", LIMIT)?;
    assert!(!older.contains("2026_11_01"), "only the newest archives were captured: {older}");
    Ok(())
}

/// The census but for the view of the database, and what was changed on purpose.
fn same_files(before: &str, after: &str) {
    let changed = [
        " etc/pve",
        " etc/lvm",
        " etc/corosync",
        "50-pmx-nic0.link",
        " etc/systemd/system/lifeboat-guests.service",
        "multi-user.target.wants/lifeboat",
    ];
    let kept = |list: &str| {
        let lines: Vec<&str> = list.lines().filter(|line| !changed.iter().any(|part| line.contains(part))).collect();
        lines.join("\n")
    };
    assert_eq!(census::differences(&kept(before), &kept(after)), Vec::<String>::new());
}
