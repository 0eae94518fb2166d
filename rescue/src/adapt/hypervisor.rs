//! A restored hypervisor: what would keep it from starting is mended or said, its cluster is left where that was decided, and its guests are handed
//! to its first start.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use layout::{Kind, NodeId};
use manifest::host::{Guest, KEPT, OFFLINE, Offline, OfflineGuest, Platform, PlatformKind, Revival, Verdict};
use manifest::{Digest, Host, Membership};

use super::{Adaptation, Room, files};

const DATABASE: &str = "var/lib/pve-cluster/config.db";
const BOOT_UUIDS: &str = "etc/kernel/proxmox-boot-uuids";
/// Units of the first start: a name and a text. One looks at guests that came back as files before they start, the other brings back or looks for
/// those of platforms that must run for it.
type Unit = (&'static str, &'static str);
const CHECK: Unit =
    ("lifeboat-guests-check.service", include_str!("../../../templates/guests/lifeboat-guests-check.service"));
const RESTORE: Unit = ("lifeboat-guests.service", include_str!("../../../templates/guests/lifeboat-guests.service"));
const UNITS: &str = "etc/systemd/system";
/// Where an administrator's programs lie.
const PROGRAMS: [&str; 4] =
    ["usr/sbin/lifeboat", "usr/bin/lifeboat", "usr/local/sbin/lifeboat", "usr/local/bin/lifeboat"];

/// Adapts every platform that the snapshot has, in the restored system at `root`.
pub fn adapt(
    root: &Path,
    room: &Room,
    host: &Host,
    snapshot: u64,
    membership: Option<Membership>,
    done: &mut Adaptation,
) {
    let is_node = |platform: &&Platform| platform.kind == PlatformKind::Proxmox;
    let mut platforms: Vec<Platform> =
        host.guests.iter().filter(|platform| !is_node(platform)).map(|platform| missed(host, platform)).collect();
    let Some(platform) = host.guests.iter().find(is_node) else {
        return revive(root, platforms, snapshot, false, done);
    };
    database(root, done);
    check(root, host, done);
    match membership {
        Some(Membership::Same) => done.not_adapted.push(
            "the node comes back as the member that it was: it starts its guests when the cluster has a quorum, and not before".to_owned(),
        ),
        Some(Membership::Removed) => {
            leave(root, room, platform, false, done);
            let rejoin = "the node was removed from its cluster and stands alone; none of its guests is brought back or started, because the \
                          cluster may run them. To join again: `pvecm add ADDRESS-OF-A-MEMBER`; to run its guests: `systemctl unmask pve-guests`, \
                          then `lifeboat guests restore`";
            done.not_adapted.push(rejoin.to_owned());
            if let Err(error) = files::link(root, &format!("{UNITS}/pve-guests.service"), "/dev/null", "no guest starts on its own", done) {
                done.not_adapted.push(format!("pve-guests.service could not be masked: {error}: the guests start with the host"));
            }
        }
        Some(Membership::Seed) => {
            leave(root, room, platform, true, done);
            done.not_adapted.push(
                "the node stands alone, with what the cluster knew of its other nodes; each of these joins anew: `pvecm add ADDRESS-OF-THIS-NODE`"
                    .to_owned(),
            );
        }
        None => {}
    }
    // On its own it waits for nobody.
    let cluster = if membership == Some(Membership::Same) { platform.cluster.clone() } else { Vec::new() };
    platforms.push(Platform { cluster, ..missed(host, platform) });
    revive(root, platforms, snapshot, membership == Some(Membership::Removed), done);
}

/// The platform without the guests that nobody misses: they are not looked for.
fn missed(host: &Host, platform: &Platform) -> Platform {
    let guests = platform.guests.iter().filter(|guest| !is_waived(host, platform.kind, guest)).cloned().collect();
    Platform { guests, ..platform.clone() }
}

/// Whether the snapshot says that nobody misses the guest.
pub fn is_waived(host: &Host, kind: PlatformKind, guest: &Guest) -> bool {
    let node = NodeId(format!("guest:{kind}:{}", guest.id));
    host.coverage.items.iter().any(|item| item.node == node && matches!(item.verdict, Verdict::Waived { .. }))
}

/// Leaves word for the first start on the guests that were to be brought back before it. It counts for the list of guests that is there.
pub fn leave_word(root: &Path, guests: Vec<OfflineGuest>, done: &mut Adaptation) {
    let Some(revival) = files::text(root, relative(KEPT)) else { return };
    let offline = Offline { schema: 1, revival: Digest::of(revival.as_bytes()), guests };
    let Ok(json) = serde_json::to_string_pretty(&offline) else { return };
    let reason = "which guests have their disks already";
    if let Err(error) = files::put(root, relative(OFFLINE), &format!("{json}\n"), 0o600, reason, done) {
        done.not_adapted.push(format!(
            "{OFFLINE} could not be written: {error}; the first start finds the guests' disks, and leaves them alone"
        ));
    }
}

/// A path from the root of the restored system.
fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// The database alone, for its owner alone: what SQLite kept beside the old one would be taken for a part of it.
fn database(root: &Path, done: &mut Adaptation) {
    for beside in ["-wal", "-shm"] {
        let path = format!("{DATABASE}{beside}");
        if root.join(&path).is_file() {
            let kept = format!("{path}.before-restore");
            if let Err(error) = files::rename(root, &path, &kept, "it belongs to the old database", done) {
                done.not_adapted.push(format!("/{path} must go before pve-cluster starts: {error}"));
            }
        }
    }
    let database = root.join(DATABASE);
    let open =
        fs::symlink_metadata(&database).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o077 != 0);
    if open && fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).is_ok() {
        done.place(&format!("/{DATABASE}"), "it holds passwords and is for its owner only");
    }
}

/// What keeps a node from starting.
fn check(root: &Path, host: &Host, done: &mut Adaptation) {
    resolve(root, &host.identity.hostname, done);
    if !files::text(root, "etc/group").unwrap_or_default().lines().any(|line| line.starts_with("www-data:")) {
        done.not_adapted.push("the group www-data is missing: /etc/pve cannot be served without it".to_owned());
    }
    let made: BTreeSet<String> = host
        .layout
        .nodes
        .iter()
        .filter(|node| host.coverage.restores(&node.id))
        .filter_map(|node| match &node.kind {
            Kind::Vfat(vfat) => Some(vfat.serial.to_uppercase()),
            _ => None,
        })
        .collect();
    for uuid in files::text(root, BOOT_UUIDS).unwrap_or_default().split_whitespace() {
        if !made.contains(&uuid.to_uppercase()) {
            let advice = "run `proxmox-boot-tool clean`";
            done.not_adapted.push(format!("/{BOOT_UUIDS} names the ESP {uuid}, which does not come back: {advice}"));
        }
    }
}

/// The node's name must be that of an address of its own that is no loopback.
fn resolve(root: &Path, name: &str, done: &mut Adaptation) {
    let hosts = files::text(root, "etc/hosts").unwrap_or_default();
    let own = addresses(&files::text(root, "etc/network/interfaces").unwrap_or_default());
    let short = name.split('.').next().unwrap_or(name);
    let found: Vec<IpAddr> = named(&hosts, short);
    let usable = found.iter().any(|address| !address.is_loopback());
    if !usable {
        let Some(address) = own.first() else {
            done.not_adapted.push(format!(
                "/etc/hosts has no address for {short} but a loopback, and /etc/network/interfaces has no static one: pve-cluster does not start \
                 until it has"
            ));
            return;
        };
        let changed = pointed(&hosts, short, *address);
        let reason = "the node's name must be that of one of its addresses";
        match files::change(root, "etc/hosts", &changed, reason, done) {
            Ok(()) => done
                .not_adapted
                .push(format!("/etc/hosts had no address for {short} but a loopback: it has {address} now")),
            Err(error) => {
                done.not_adapted.push(format!("/etc/hosts has no address for {short} but a loopback: {error}"))
            }
        }
    } else if !own.is_empty() && !found.iter().any(|address| own.contains(address)) {
        done.not_adapted.push(format!(
            "/etc/hosts gives {short} an address that no interface in /etc/network/interfaces has: pve-cluster needs one of its own"
        ));
    }
}

/// The addresses that a hosts file gives a name.
fn named(hosts: &str, name: &str) -> Vec<IpAddr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.split('.').next() == Some(name)).then_some(address)
    };
    lines.filter_map(line).collect()
}

/// The hosts file with the name on a line of its own address, and on no other.
fn pointed(hosts: &str, name: &str, address: IpAddr) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut kept = String::new();
    for line in hosts.lines() {
        let (words, remark) = line.split_once('#').map_or((line, None), |(words, remark)| (words, Some(remark)));
        let mut words = words.split_whitespace();
        let (first, rest): (Option<&str>, Vec<&str>) = (words.next(), words.collect());
        let (own, other): (Vec<&str>, Vec<&str>) = rest.iter().partition(|word| word.split('.').next() == Some(name));
        if own.is_empty() {
            kept += line;
            kept.push('\n');
            continue;
        }
        names.extend(own.into_iter().filter(|word| *word != name));
        if let Some(first) = first.filter(|_| !other.is_empty()) {
            kept += &format!("{first}\t{}", other.join(" "));
            kept += &remark.map(|remark| format!(" #{remark}")).unwrap_or_default();
            kept.push('\n');
        }
    }
    names.dedup();
    names.push(name);
    format!("{kept}{address}\t{}\n", names.join(" "))
}

/// Static addresses of an interfaces file, in their order, without loopbacks.
fn addresses(interfaces: &str) -> Vec<IpAddr> {
    let words = interfaces.lines().filter_map(|line| line.trim().strip_prefix("address "));
    let parsed = words.filter_map(|word| word.trim().split('/').next()?.parse().ok());
    parsed.filter(|address: &IpAddr| !address.is_loopback()).collect()
}

/// Takes the cluster out of the database, by the restored system's own program. Where that fails the database is put aside: with it the node must
/// not start.
fn leave(root: &Path, room: &Room, platform: &Platform, keep_others: bool, done: &mut Adaptation) {
    let reason = "the node has left its cluster";
    let mut command = room.command("lifeboat").args(["guests", "leave-cluster", "--node", &platform.node]);
    if keep_others {
        command = command.arg("--keep-others");
    }
    match command.read() {
        Ok(_) => done.place(&format!("/{DATABASE}"), reason),
        Err(error) => {
            let kept = format!("{DATABASE}.of-the-cluster");
            let put = files::rename(root, DATABASE, &kept, reason, done);
            done.not_adapted.push(match put {
                Ok(()) => format!("the cluster could not be taken out of the database, which lies at /{kept} now: {error}"),
                Err(other) => format!("the cluster could not be taken out of the database: {error}; {other}: KEEP THIS NODE OFF THE NETWORK"),
            });
        }
    }
    done.place("/var/lib/pve-cluster/", reason);
    for name in ["corosync.conf", "authkey"] {
        let path = format!("etc/corosync/{name}");
        if root.join(&path).is_file()
            && let Err(error) = files::rename(root, &path, &format!("{path}.of-the-cluster"), reason, done)
        {
            done.not_adapted.push(format!("/{path} must go before corosync starts: {error}"));
        }
    }
}

/// Hands the guests to the first start. `off`: they are listed, and no unit brings those of a node back.
fn revive(root: &Path, mut platforms: Vec<Platform>, snapshot: u64, off: bool, done: &mut Adaptation) {
    platforms.retain(|platform| !platform.guests.is_empty());
    if platforms.is_empty() {
        return;
    }
    let has = |wanted: &dyn Fn(PlatformKind) -> bool| platforms.iter().any(|platform| wanted(platform.kind));
    let by_files = |kind: PlatformKind| matches!(kind, PlatformKind::Libvirt | PlatformKind::Lxc);
    let mut units = Vec::new();
    units.extend(has(&by_files).then_some(CHECK));
    units.extend((!off && has(&|kind| !by_files(kind))).then_some(RESTORE));
    let reason = "the guests come back at the first start";
    let revival = Revival { schema: 1, snapshot, platforms };
    let Ok(json) = serde_json::to_string_pretty(&revival) else { return };
    let program = PROGRAMS.iter().find(|program| root.join(program).is_file());
    // With the mark of an earlier restore the units would not run; nor does its word on volumes hold.
    for old in ["var/lib/lifeboat/guests/done", relative(OFFLINE)] {
        let _ = fs::remove_file(root.join(old));
    }
    let mut steps = vec![files::put(root, relative(KEPT), &format!("{json}\n"), 0o600, reason, done)];
    match program {
        Some(program) => {
            for (name, text) in units {
                let text = text.replace("@LIFEBOAT@", &format!("/{program}"));
                steps.push(files::put(root, &format!("{UNITS}/{name}"), &text, 0o644, reason, done));
                let wanted = format!("{UNITS}/multi-user.target.wants/{name}");
                steps.push(files::link(root, &wanted, &format!("/{UNITS}/{name}"), reason, done));
            }
        }
        None if units.is_empty() => {}
        None => done.not_adapted.push(
            "the program lifeboat is not in the restored system: the guests do not come back on their own. Install it and run \
             `lifeboat guests check`, then `lifeboat guests restore`"
                .to_owned(),
        ),
    }
    for error in steps.into_iter().filter_map(Result::err) {
        done.not_adapted
            .push(format!("the guests may not come back on their own: {error}; run `lifeboat guests restore`"));
    }
    // What earlier runs of the same folder knew was of other machines.
    done.place("/var/lib/lifeboat/guests/", reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_on_a_loopback_gets_the_nodes_own_address() {
        let hosts =
            "127.0.0.1\tlocalhost\n127.0.1.1 mesh.example.org mesh other # set by the installer\n::1 localhost\n";
        assert!(named(hosts, "mesh").iter().all(IpAddr::is_loopback));
        let changed = pointed(hosts, "mesh", "192.0.2.7".parse().unwrap());
        let wanted = "127.0.0.1\tlocalhost\n127.0.1.1\tother # set by the installer\n::1 localhost\n192.0.2.7\tmesh.example.org mesh\n";
        assert_eq!(changed, wanted);
        assert_eq!(named(&changed, "mesh"), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn the_first_static_address_is_taken_and_no_loopback() {
        let text =
            "auto lo\niface lo inet loopback\niface vmbr0 inet static\n\taddress 192.0.2.7/24\n\tgateway 192.0.2.1\n";
        assert_eq!(addresses(text), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_nodes_name_is_mended_on_disk_and_what_cannot_be_is_said() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/network")).unwrap();
        let write = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        write("etc/hosts", "127.0.1.1 mesh\n");
        let mut done = Adaptation::default();
        resolve(root.path(), "mesh", &mut done);
        assert!(done.not_adapted[0].contains("no static one"), "{:?}", done.not_adapted);
        write("etc/network/interfaces", "iface vmbr0 inet static\n  address 192.0.2.7/24\n");
        let mut done = Adaptation::default();
        resolve(root.path(), "mesh", &mut done);
        assert_eq!(fs::read_to_string(root.path().join("etc/hosts")).unwrap(), "192.0.2.7\tmesh\n");
        assert!(done.reason(b"etc/hosts").is_some());
        write("etc/hosts", "198.51.100.1 mesh\n");
        let mut done = Adaptation::default();
        resolve(root.path(), "mesh", &mut done);
        assert!(done.not_adapted[0].contains("no interface"), "{:?}", done.not_adapted);
    }

    #[test]
    fn guests_that_came_as_files_are_handed_to_the_unit_that_runs_before_they_start() {
        let units = |kind: PlatformKind| {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("usr/bin")).unwrap();
            fs::write(root.path().join("usr/bin/lifeboat"), "").unwrap();
            let (id, name) = ("web".to_owned(), "web".to_owned());
            let kind_of = manifest::host::GuestKind::Container;
            let guest = Guest { id, name, kind: kind_of, starts: true, order: None, archive: None, notes: Vec::new() };
            let platform =
                Platform { kind, node: String::new(), cluster: Vec::new(), guests: vec![guest], notes: Vec::new() };
            let mut done = Adaptation::default();
            revive(root.path(), vec![platform], 1, false, &mut done);
            assert!(root.path().join(KEPT.trim_start_matches('/')).is_file() && done.not_adapted.is_empty());
            let wanted = root.path().join(format!("{UNITS}/multi-user.target.wants"));
            let names = fs::read_dir(wanted).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<Vec<_>>()
        };
        assert_eq!(units(PlatformKind::Lxc), ["lifeboat-guests-check.service"]);
        assert_eq!(units(PlatformKind::Podman), ["lifeboat-guests.service"]);
    }

    #[test]
    fn what_sqlite_kept_beside_the_old_database_goes_aside() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("var/lib/pve-cluster");
        fs::create_dir_all(&folder).unwrap();
        for name in ["config.db", "config.db-wal"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        fs::set_permissions(folder.join("config.db"), fs::Permissions::from_mode(0o644)).unwrap();
        let mut done = Adaptation::default();
        database(root.path(), &mut done);
        assert!(!folder.join("config.db-wal").exists());
        assert_eq!(fs::metadata(folder.join("config.db")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(done.reason(b"var/lib/pve-cluster/config.db").is_some());
    }
}
