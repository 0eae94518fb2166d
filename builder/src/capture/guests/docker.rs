//! Docker: its containers, as its own daemon on this host tells them. What lies in its folder is captured as files.

use guests::engine::Engine;
use manifest::host::{Gap, PlatformKind};

use super::asking::Asking;
use super::{Found, Hypervisor, Policy, engine};
use crate::capture::aside::Aside;
use crate::capture::gap;
use crate::capture::source::Source;

const FOLDER: &str = "/var/lib/docker";
const CONFIG: &str = "/etc/docker/daemon.json";
/// The daemon of this host, whatever the environment names.
const HOST: [&str; 2] = ["--host", "unix:///var/run/docker.sock"];

pub(super) struct Docker;

impl Hypervisor for Docker {
    fn look(&self, source: &Source, _: &Policy, _: &mut Aside, gaps: &mut Vec<Gap>) -> Option<Found> {
        let folder = folder(source);
        if !source.exists(&folder) {
            return None;
        }
        let containers = source.names(format!("{folder}/containers")).len();
        let mut found = Found::new(PlatformKind::Docker);
        match if source.is_live() { told() } else { Err("it is not the running system".to_owned()) } {
            Ok(told) => engine::fill(&mut found, &told, gaps),
            // Without a container it may well be off.
            Err(_) if containers == 0 => {}
            Err(why) => gaps.push(gap(
                folder,
                format!(
                    "it has {containers} containers, and Docker tells nothing of them: {why}; they are archived as files, which is \
                     sound only while none runs"
                ),
            )),
        }
        (containers > 0 || !found.guests.is_empty()).then_some(found)
    }
}

/// Where its data lies.
fn folder(source: &Source) -> String {
    let config = source.bytes(CONFIG).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
    config.get("data-root").and_then(serde_json::Value::as_str).unwrap_or(FOLDER).to_owned()
}

fn told() -> Result<engine::Told, String> {
    let asking = Asking::of("docker", &HOST).ok_or("docker is not installed")?;
    let info = asking.read(&["info", "--format", "{{json .}}"])?;
    engine::ask(&asking, Engine::of_docker(&info).map_err(|error| format!("docker info: {error}"))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use std::fs;

    use super::*;

    #[test]
    fn a_host_without_docker_has_none_and_its_folder_may_be_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let source = Source::new(root.path());
        let look = || Docker.look(&source, &Policy::default(), &mut Aside::default(), &mut Vec::new());
        assert!(look().is_none());
        fs::create_dir_all(root.path().join("etc/docker")).unwrap();
        fs::write(root.path().join("etc/docker/daemon.json"), r#"{"data-root": "/srv/docker"}"#).unwrap();
        assert_eq!(folder(&source), "/srv/docker");
        fs::create_dir_all(root.path().join("srv/docker/containers/abc")).unwrap();
        assert!(look().is_some());
    }
}
