//! LXC: containers below `/var/lib/lxc`, from their files alone. What runs is told by the kernel's control groups.

use guests::lxc::{Container, Map, Of, Root, is_given};
use manifest::host::{Gap, GuestKind, PlatformKind};

use super::parts::{Lies, Part};
use super::{Found, Hypervisor, One, Policy, printable, proxmox};
use crate::capture::aside::Aside;
use crate::capture::gap;
use crate::capture::source::Source;

const FOLDER: &str = "/var/lib/lxc";
/// Where control groups lie: of version 2, and of version 1 by its controllers.
const GROUPS: [&str; 5] = ["", "unified/", "systemd/", "pids/", "memory/"];

pub(super) struct Lxc;

impl Hypervisor for Lxc {
    fn look(&self, source: &Source, _: &Policy, _: &mut Aside, gaps: &mut Vec<Gap>) -> Option<Found> {
        // Proxmox writes configurations there for its own containers at each of their starts.
        if source.exists(proxmox::DATABASE) {
            return None;
        }
        let mut found = Found::new(PlatformKind::Lxc);
        for name in source.names(FOLDER) {
            // One component, as the folder gave it.
            let Some(config) = source.text(format!("{FOLDER}/{name}/config")) else { continue };
            found.guests.push(one(&name, &Container::parse(&config), source, gaps));
        }
        (!found.guests.is_empty()).then_some(found)
    }
}

fn one(name: &str, container: &Container, source: &Source, gaps: &mut Vec<Gap>) -> One {
    let mut one = One::new(printable(name), name, GuestKind::Container);
    (one.guest.starts, one.guest.order) = (container.starts, container.order);
    let running = runs(name, source);
    match &container.root {
        None => one.note("its configuration names no root"),
        Some(Root::Folders(folders)) => {
            if running {
                one.note("it runs: its files are captured while it writes to them");
            }
            one.parts.extend(folders.iter().map(|folder| Part::needed("root", folder)));
        }
        Some(Root::Loop(file)) => {
            one.parts.push(Part::needed("root", file));
            if running {
                one.lose(&format!("it runs, and {file} is a filesystem in use, of which the snapshot holds no one state: stop it for the \
                     backup"));
            }
        }
        Some(Root::Block(device)) => one.parts.push(Part::needed("root", device)),
        Some(Root::Dataset(dataset)) => {
            one.parts.push(Part { what: "root".to_owned(), lies: Lies::Dataset(dataset.clone()), needed: true });
        }
        Some(Root::Other(root)) => one.lose(&format!("its root is {}, which is not on this host", printable(root))),
    }
    one.parts.extend(container.mounts.iter().map(|mount| Part::used(format!("mount {}", printable(mount)), mount)));
    for map in container.maps.iter().filter(|map| !is_known(source, **map)) {
        let file = file(*map);
        let why = format!(
            "it uses the identifiers {} to {}, which {file} gives to nobody: nothing keeps others from them",
            map.first,
            map.first.saturating_add(map.count.saturating_sub(1))
        );
        gaps.push(gap(format!("guest {}", one.guest.id), &why));
        one.note(why);
    }
    one
}

fn file(map: Map) -> &'static str {
    match map.of {
        Of::Users => "/etc/subuid",
        Of::Groups => "/etc/subgid",
    }
}

fn is_known(source: &Source, map: Map) -> bool {
    is_given(&source.text(file(map)).unwrap_or_default(), map)
}

fn runs(name: &str, source: &Source) -> bool {
    let group = |place: &str| {
        let of = |group: String| source.exists(format!("/sys/fs/cgroup/{place}{group}"));
        of(format!("lxc.payload.{name}")) || of(format!("lxc.payload/{name}")) || of(format!("lxc/{name}"))
    };
    !source.is_at_rest() && GROUPS.into_iter().any(group)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use std::fs;

    use super::*;

    fn look(files: &[(&str, &str)]) -> (Option<Found>, Vec<Gap>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut gaps = Vec::new();
        let source = Source::new(root.path());
        let found = Lxc.look(&source, &Policy::default(), &mut Aside::default(), &mut gaps);
        (found, gaps)
    }

    #[test]
    fn a_host_without_containers_and_a_node_of_proxmox_have_none() {
        let config = ("var/lib/lxc/100/config", "lxc.rootfs.path = dir:/srv/web\n");
        assert!(look(&[]).0.is_none());
        assert!(look(&[config, ("var/lib/pve-cluster/config.db", "")]).0.is_none());
        assert_eq!(look(&[config]).0.unwrap().guests.len(), 1);
    }

    #[test]
    fn a_running_container_is_noted_and_one_in_a_file_is_lost() {
        let files = [
            ("var/lib/lxc/web/config", "lxc.rootfs.path = dir:/var/lib/lxc/web/rootfs\nlxc.idmap = u 0 100000 65536\n"),
            ("var/lib/lxc/loop/config", "lxc.rootfs.path = loop:/srv/loop.img\n"),
            ("var/lib/lxc/\u{1b}x/config", "lxc.rootfs.path = loop:/srv/x.img\n"),
            ("sys/fs/cgroup/lxc.payload.web/cgroup.procs", ""),
            ("sys/fs/cgroup/pids/lxc/loop/tasks", ""),
        ];
        let (found, gaps) = look(&files);
        let [odd, looped, web] = &found.unwrap().guests[..] else { panic!("three guests") };
        assert_eq!(odd.guest.id, "?x");
        assert!(odd.lost.is_none() && looped.lost.as_ref().unwrap().contains("stop it"));
        assert!(web.lost.is_none() && web.guest.notes[0].text.contains("it runs"));
        assert!(gaps[0].why.contains("/etc/subuid"), "{gaps:?}");
    }
}
