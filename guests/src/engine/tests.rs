//! What Podman printed, and what Docker prints by its documentation: `fixtures/engine/make.sh`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use super::*;

#[test]
fn a_container_of_podman_is_read() {
    let containers: Vec<Container> =
        serde_json::from_str(include_str!("../../fixtures/engine/podman-inspect.json")).unwrap();
    let [web] = &containers[..] else { panic!("{containers:?}") };
    assert_eq!((web.name(), web.image_name(), web.short_id().unwrap().len()), ("web", "localhost/tiny:1", 12));
    assert!(web.starts() && !web.runs() && !web.is_infra);
    assert_eq!(web.project(), Some(Project { name: "shop".to_owned(), folder: Some("/srv/shop".to_owned()) }));
    let mounts: Vec<(&str, &str)> =
        web.mounts.iter().map(|mount| (mount.kind.as_str(), mount.source.as_str())).collect();
    assert_eq!(mounts, [("volume", "/var/lib/containers/storage/volumes/data/_data"), ("bind", "/srv")]);
    let images: Vec<Image> = serde_json::from_str(include_str!("../../fixtures/engine/podman-image.json")).unwrap();
    assert!(images[0].is(&web.image) && !images[0].is_in_a_registry(), "it was imported");
}

#[test]
fn volumes_and_the_place_of_podman_are_read() {
    let volumes: Vec<Volume> = serde_json::from_str(include_str!("../../fixtures/engine/podman-volume.json")).unwrap();
    let mounted: Vec<Option<(&str, &str)>> = volumes.iter().map(Volume::mounted).collect();
    assert_eq!(mounted, [None, Some(("nfs", ":/export"))]);
    let engine = Engine::of_podman(include_str!("../../fixtures/engine/podman-info.json")).unwrap();
    assert_eq!((engine.folder.as_str(), engine.driver.as_str()), ("/var/lib/containers/storage", "vfs"));
}

#[test]
fn containers_of_docker_are_read_by_its_documentation() {
    let containers: Vec<Container> =
        serde_json::from_str(include_str!("../../fixtures/engine/docker-inspect.json")).unwrap();
    let [db, own] = &containers[..] else { panic!("{containers:?}") };
    assert_eq!(
        (db.name(), db.image_name(), db.short_id()),
        ("shop-db-1", "registry.example/db:16", Some("3949fff2e8dd"))
    );
    assert!(db.starts() && db.runs() && !own.starts() && !own.runs() && own.project().is_none());
    assert!(!format!("{db:?}").contains("secret"), "an environment is not kept");
    let images: Vec<Image> = serde_json::from_str(include_str!("../../fixtures/engine/docker-image.json")).unwrap();
    assert!(images[0].is(&db.image) && images[0].is_in_a_registry());
    assert!(images[1].is(&own.image) && !images[1].is_in_a_registry());
}

#[test]
fn where_docker_keeps_its_images_is_told() {
    let engine = Engine::of_docker(include_str!("../../fixtures/engine/docker-info.json")).unwrap();
    assert!(!engine.containerd && !engine.swarm && engine.folder == "/var/lib/docker");
    let containerd = r#"{"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "DockerRootDir": "/var/lib/docker", "Swarm": {"LocalNodeState": "active"}}"#;
    let engine = Engine::of_docker(containerd).unwrap();
    assert!(engine.containerd && engine.swarm);
}

#[test]
fn an_identifier_that_is_none_is_none() {
    let container = |id: &str| -> Container { serde_json::from_str(&format!(r#"{{"Id": "{id}"}}"#)).unwrap() };
    assert_eq!(container("../../etc/passwd").short_id(), None);
    assert_eq!(container("abc").short_id(), None);
    assert_eq!(container("0123456789abcdef").short_id(), Some("0123456789ab"));
}
