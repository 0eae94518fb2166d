//! A Proxmox node comes back with its guests: on disks of other sizes and with another network card, its cluster's database as one consistent copy,
//! and each guest from its archive: one by the rescue itself, in the middle of which the power fails, the others at the first start. Its cluster is lost, and it comes back as the seed of a new one. Proxmox itself is not here: pmxcfs, `qmrestore`, `pct` and `pvesm` are stand-ins (scripts of
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
    let stick = folder.join("stick.img");
    vm::copy_sparse(&captured.stick, &stick)?;
    cut_among_the_guests(patient.boot_own_stick(&stick, Some(&captured.key))?)?;
    let outcome = follow(&mut patient.boot_own_stick(&stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(outcome.event("begin")?["from"], "first-write", "what LVM has made is made anew");
    let console = String::from_utf8_lossy(&std::fs::read(place::logs()?.join("mesh-rescue.serial.log"))?).into_owned();
    // The console's lines are wrapped.
    let console = console.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(console.contains("does not say in which way"), "the order without a word on the cluster is named");
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    for words in
        ["guest 103 router is brought back before the first start", "volume pve/vm-103-disk-0 in pool data, 12.0 MiB"]
    {
        assert!(console.contains(words), "the plan says it: {words}");
    }
    let brought = &report["guests"][0];
    assert_eq!((&brought["id"], &brought["restored"]), (&"103".into(), &true.into()), "{brought}");
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
    had_one_before(&mut running)?;
    same_files(&captured.census(1)?, &census::take(&mut running)?);
    running.quit()?;
    say("scenario mesh holds");
    Ok(())
}

/// Follows a rescue until it writes the disks of guests, and pulls the plug.
fn cut_among_the_guests(mut running: Running) -> anyhow::Result<()> {
    loop {
        let event = running.event(FIRST_START)?;
        let name = event["event"].as_str().unwrap_or_default();
        anyhow::ensure!(!["question", "refused", "failed", "restored"].contains(&name), "before the cut: {event}");
        if name == "stage" && event["name"] == "guests" {
            std::thread::sleep(Duration::from_millis(700));
            say(&format!("    the power fails among the guests, after {} s", running.elapsed().as_secs()));
            drop(running);
            return Ok(());
        }
    }
}

/// Guest 103 was there before anything at the first start looked for guests, byte for byte, and nobody restored it again.
fn had_one_before(running: &mut Running) -> anyhow::Result<()> {
    let sums = include_str!("../../guests/fixtures/vma/two.sha256");
    let wanted: Vec<String> = sums
        .lines()
        .zip(["vm-103-disk-0", "vm-103-disk-1"])
        .map(|(line, volume)| format!("{volume} {} 0", line.split(' ').next().unwrap_or_default()))
        .collect();
    let before = running.output("cat /var/log/before-guests", LIMIT)?;
    assert_eq!(before.lines().collect::<Vec<_>>(), wanted);
    let tags = running.output("lvs --noheadings -o lv_tags pve/vm-103-disk-1 2>/dev/null", LIMIT)?;
    assert_eq!(tags.trim(), "pve-vm-103", "its storage knows it");
    let states: Value = serde_json::from_str(&running.output("lifeboat guests status --json || true", LIMIT)?)?;
    let guests = states["guests"].as_array().into_iter().flatten();
    let state = guests
        .filter(|guest| guest["id"] == "103")
        .map(|guest| (guest["phase"].clone(), guest["detail"].to_string()))
        .next();
    let Some((phase, detail)) = state else { anyhow::bail!("guest 103 is on no list: {states}") };
    assert!(phase == "restored" && detail.contains("the rescue brought its disks back"), "{phase}: {detail}");
    let config = running.output("cat /etc/pve/nodes/mesh/qemu-server/103.conf", LIMIT)?;
    assert!(config.contains("onboot: 1"), "{config}");
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
    let found = census::differences_but(before, after, |line| changed.iter().any(|part| line.contains(part)));
    assert_eq!(found, Vec::<String>::new());
}
