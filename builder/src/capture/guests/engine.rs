//! What Docker and Podman have in common: their containers, what each of them mounts, and whether a registry could give its image back.

use std::path::{Path, PathBuf};

use guests::engine::{Container, Engine, Image, Mount, Volume};
use manifest::host::{Gap, GuestKind};

use super::asking::Asking;
use super::parts::{Lies, Part};
use super::{Found, One, printable};
use crate::capture::gap;

/// Containers that are asked for at once: a command line has an end.
const AT_ONCE: usize = 200;
/// Where containerd keeps images, for a Docker that leaves them to it.
const CONTAINERD: &str = "/var/lib/containerd";
/// What of the host is made anew at each start, so that a container that mounts it loses nothing.
const MADE_ANEW: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/run"];

/// What an engine tells.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) engine: Engine,
    pub(super) containers: Vec<Container>,
    pub(super) images: Vec<Image>,
    pub(super) volumes: Vec<Volume>,
}

/// Asks for everything. A container that goes while it is asked for is asked for no more.
///
/// # Errors
/// In words, when the engine does not answer.
pub(super) fn ask(asking: &Asking, engine: Engine) -> Result<Told, String> {
    let ids = asking.words(&["container", "ls", "--all", "--quiet", "--no-trunc"])?;
    let containers: Vec<Container> = inspect(asking, "container", &ids)?;
    let mut images: Vec<String> = containers.iter().map(|container| container.image.clone()).collect();
    images.retain(|image| !image.is_empty());
    images.sort();
    images.dedup();
    let images = inspect(asking, "image", &images)?;
    let volumes = asking.words(&["volume", "ls", "--quiet"])?;
    let volumes = inspect(asking, "volume", &volumes)?;
    Ok(Told { engine, containers, images, volumes })
}

fn inspect<T: serde::de::DeserializeOwned>(asking: &Asking, what: &str, names: &[String]) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let args = |names: &[String]| -> Vec<String> {
            [what, "inspect", "--"].into_iter().map(str::to_owned).chain(names.iter().cloned()).collect()
        };
        let ask = |names: &[String]| {
            let args = args(names);
            asking.json::<Vec<T>>(&args.iter().map(String::as_str).collect::<Vec<_>>())
        };
        match ask(some) {
            Ok(found) => all.extend(found),
            // One that has gone makes the tool fail as a whole.
            Err(_) if some.len() > 1 => {
                for name in some {
                    all.extend(ask(std::slice::from_ref(name)).unwrap_or_default());
                }
            }
            Err(why) => return Err(why),
        }
    }
    Ok(all)
}

/// Puts everything into `found`.
pub(super) fn fill(found: &mut Found, told: &Told, gaps: &mut Vec<Gap>) {
    let kind = found.kind;
    for container in told.containers.iter().filter(|container| !container.is_infra) {
        match container.short_id() {
            Some(id) => found.guests.push(one(id, container, told)),
            None => gaps.push(gap(kind.to_string(), format!("{:?} is no identifier of a container", container.id))),
        }
    }
    if told.containers.iter().any(Container::runs) {
        found.note(format!(
            "its folder {} is captured while containers write to it: layers of driver {} that change meanwhile may come back torn",
            told.engine.folder, told.engine.driver
        ));
    }
    if told.engine.swarm {
        found.note("it is a member of a swarm: its part of the swarm's state is captured while it changes");
    }
}

fn one(id: &str, container: &Container, told: &Told) -> One {
    let mut one = One::new(id, container.name(), GuestKind::Container);
    one.guest.starts = container.starts();
    if container.runs() {
        one.note("it runs: its volumes and its own layer are captured while it writes to them");
    }
    let image = printable(container.image_name());
    let known = told.images.iter().find(|image| image.is(&container.image));
    let layers = image_folder(&told.engine);
    if known.is_some_and(Image::is_in_a_registry) {
        one.note(format!("its image is {image}"));
        one.parts.push(Part::used(format!("image {image}"), &layers));
    } else {
        one.note(format!("its image is {image}, which no registry is known to have"));
        one.parts.push(Part::needed(format!("image {image}, which no registry is known to have,"), &layers));
    }
    one.parts.push(Part::needed("own layer", layers));
    if let Some(project) = container.project() {
        one.note(format!("it belongs to the Compose project {}", printable(&project.name)));
        one.parts.extend(project.folder.map(|folder| Part::used("Compose project's folder", printable(&folder))));
    }
    for mount in &container.mounts {
        part(&mut one, mount, &told.volumes);
    }
    one
}

fn image_folder(engine: &Engine) -> PathBuf {
    if engine.containerd { CONTAINERD.into() } else { PathBuf::from(&engine.folder) }
}

fn part(one: &mut One, mount: &Mount, volumes: &[Volume]) {
    let what = format!("volume {}", printable(&mount.name));
    match mount.kind.as_str() {
        "volume" => match volumes.iter().find(|volume| volume.name == mount.name) {
            Some(volume) if !matches!(volume.driver.as_str(), "" | "local") => {
                one.lose(&format!("its {what} is kept by the driver {}: back it up there", printable(&volume.driver)));
            }
            Some(volume) => match volume.mounted() {
                None => one.parts.push(Part::needed(what, &mount.source)),
                Some(("none" | "", device)) if device.starts_with('/') => one.parts.push(Part::needed(what, device)),
                Some(("tmpfs", _)) => {}
                Some((kind, device)) if device.starts_with("/dev/") => {
                    one.parts.push(Part {
                        what: format!("{what} ({})", printable(kind)),
                        lies: Lies::Device(device.into()),
                        needed: true,
                    });
                }
                Some((kind, device)) => {
                    one.note(format!(
                        "its {what} is {} of type {}: its data is there",
                        printable(device),
                        printable(kind)
                    ));
                }
            },
            None => one.parts.push(Part::needed(what, &mount.source)),
        },
        "bind" if !MADE_ANEW.iter().any(|top| Path::new(&mount.source).starts_with(top)) => {
            one.parts.push(Part::used(format!("mount {}", printable(&mount.destination)), &mount.source));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use manifest::host::PlatformKind;

    use super::*;

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/fixtures/engine");

    fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
        serde_json::from_str(&std::fs::read_to_string(Path::new(FIXTURES).join(name)).unwrap()).unwrap()
    }

    fn docker() -> Told {
        let engine = std::fs::read_to_string(Path::new(FIXTURES).join("docker-info.json")).unwrap();
        Told {
            engine: Engine::of_docker(&engine).unwrap(),
            containers: read("docker-inspect.json"),
            images: read("docker-image.json"),
            volumes: Vec::new(),
        }
    }

    fn filled(told: &Told) -> Found {
        let mut found = Found::new(PlatformKind::Docker);
        fill(&mut found, told, &mut Vec::new());
        found
    }

    fn needs(one: &One) -> Vec<&str> {
        one.parts.iter().filter(|part| part.needed).map(|part| part.what.as_str()).collect()
    }

    #[test]
    fn containers_need_their_volumes_and_images_that_no_registry_has() {
        let found = filled(&docker());
        let [db, own] = &found.guests[..] else { panic!("two containers") };
        assert_eq!(needs(db), ["own layer", "volume shop_data"]);
        assert_eq!(needs(own), ["image own:1, which no registry is known to have,", "own layer"]);
        assert!(db.guest.starts && db.guest.notes[0].text.starts_with("it runs"));
        assert_eq!((db.guest.id.as_str(), db.guest.name.as_str()), ("3949fff2e8dd", "shop-db-1"));
        assert!(found.notes[0].text.contains("overlay2"), "{:?}", found.notes);
    }

    #[test]
    fn a_volume_that_lies_elsewhere_is_told() {
        let volume = |json: &str| -> Volume { serde_json::from_str(json).unwrap() };
        let with = |json: &str| {
            let told = Told { volumes: vec![volume(json)], ..docker() };
            filled(&told).guests.swap_remove(0)
        };
        let plugin = with(r#"{"Name": "shop_data", "Driver": "rexray", "Options": null}"#);
        assert!(plugin.lost.unwrap().contains("driver rexray"));
        let bind = with(
            r#"{"Name": "shop_data", "Driver": "local", "Options": {"type": "none", "o": "bind", "device": "/srv/data"}}"#,
        );
        let places =
            bind.parts.iter().filter(|part| matches!(&part.lies, Lies::Path(path) if path == Path::new("/srv/data")));
        assert_eq!(places.count(), 1);
        let share =
            with(r#"{"Name": "shop_data", "Driver": "local", "Options": {"type": "nfs", "device": ":/export"}}"#);
        assert!(share.guest.notes.iter().any(|note| note.text.contains("nfs")));
    }
}
