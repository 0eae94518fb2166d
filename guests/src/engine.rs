//! Containers of Docker and of Podman: both print the same JSON for `inspect`, with few differences.
//!
//! Formats: <https://docs.docker.com/reference/api/engine/>, `podman-inspect(1)`. Environments and commands hold passwords, and are not
//! read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// What `inspect` says of a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    state: State,
    /// Digest of its image.
    #[serde(default)]
    pub image: String,
    #[serde(default)]
    image_name: String,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default, deserialize_with = "or_default")]
    config: Config,
    /// What it mounts.
    #[serde(default, deserialize_with = "or_default")]
    pub mounts: Vec<Mount>,
    /// It only holds a pod together, and is made anew with it.
    #[serde(default)]
    pub is_infra: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
    paused: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    #[serde(deserialize_with = "or_default")]
    restart_policy: RestartPolicy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RestartPolicy {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

/// Something that a container mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `volume`, `bind`, `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Name of a volume.
    pub name: String,
    /// Where it lies on the host.
    pub source: String,
    /// Where the container sees it.
    pub destination: String,
    /// What keeps a volume.
    pub driver: String,
}

/// A project of Compose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Its folder on the host, where it is recorded.
    pub folder: Option<String>,
}

impl Container {
    /// Its name; Docker puts a slash before it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }

    /// Whether it may write now.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state.running && !self.state.paused
    }

    /// The first 12 digits of its identifier, as the tools print it; none where it is not one.
    #[must_use]
    pub fn short_id(&self) -> Option<&str> {
        self.id.get(..12).filter(|_| self.id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// By which name its image was asked for.
    #[must_use]
    pub fn image_name(&self) -> &str {
        if self.config.image.is_empty() { &self.image_name } else { &self.config.image }
    }

    /// Whether it starts with the host: under Podman by `podman-restart.service` only.
    #[must_use]
    pub fn starts(&self) -> bool {
        matches!(self.host_config.restart_policy.name.as_str(), "always" | "unless-stopped")
    }

    /// The project of Compose that it belongs to.
    #[must_use]
    pub fn project(&self) -> Option<Project> {
        let label = |name: &str| self.config.labels.get(name).filter(|value| !value.is_empty()).cloned();
        let name = label("com.docker.compose.project").or_else(|| label("io.podman.compose.project"))?;
        Some(Project { name, folder: label("com.docker.compose.project.working_dir") })
    }
}

/// What `image inspect` says of an image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// Its digest.
    pub id: String,
    #[serde(default, deserialize_with = "or_default")]
    repo_digests: Vec<String>,
}

impl Image {
    /// Whether it came from a registry, or went to one. What was built or imported has no digest in Docker, and one of `localhost` in
    /// Podman.
    #[must_use]
    pub fn is_in_a_registry(&self) -> bool {
        self.repo_digests.iter().any(|digest| !digest.starts_with("localhost/") && !digest.starts_with("<none>"))
    }

    /// Whether a container's image is this one: Docker writes `sha256:` before the digits.
    #[must_use]
    pub fn is(&self, image: &str) -> bool {
        fn bare(id: &str) -> &str {
            id.strip_prefix("sha256:").unwrap_or(id)
        }
        bare(&self.id) == bare(image)
    }
}

/// What `volume inspect` says of a volume.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// What keeps it.
    #[serde(default)]
    pub driver: String,
    #[serde(default, deserialize_with = "or_default")]
    options: BTreeMap<String, String>,
}

impl Volume {
    /// What is mounted on it while a container uses it, as type and device; none where its data lies in its own folder.
    #[must_use]
    pub fn mounted(&self) -> Option<(&str, &str)> {
        let option = |name: &str| self.options.get(name).map(String::as_str).filter(|value| !value.is_empty());
        option("device").map(|device| (option("type").unwrap_or("none"), device))
    }
}

/// What `info` says of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    /// Where its images and volumes lie.
    pub folder: String,
    /// What keeps its layers.
    pub driver: String,
    /// Its images lie in containerd's own folder.
    pub containerd: bool,
    /// It is a member of a swarm.
    pub swarm: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct DockerInfo {
    docker_root_dir: String,
    driver: String,
    #[serde(deserialize_with = "or_default")]
    driver_status: Vec<Vec<String>>,
    swarm: Swarm,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Swarm {
    local_node_state: String,
}

#[derive(Deserialize)]
struct PodmanInfo {
    store: Store,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    graph_root: String,
    #[serde(default)]
    graph_driver_name: String,
}

impl Engine {
    /// Reads what `docker info --format json` prints.
    ///
    /// # Errors
    /// When it is not that.
    pub fn of_docker(json: &str) -> Result<Self, serde_json::Error> {
        let info: DockerInfo = serde_json::from_str(json)?;
        let containerd = info.driver_status.iter().flatten().any(|word| word.starts_with("io.containerd.snapshotter"));
        Ok(Self {
            folder: info.docker_root_dir,
            driver: info.driver,
            containerd,
            swarm: matches!(info.swarm.local_node_state.as_str(), "active" | "locked" | "pending"),
        })
    }

    /// Reads what `podman info --format json` prints.
    ///
    /// # Errors
    /// When it is not that.
    pub fn of_podman(json: &str) -> Result<Self, serde_json::Error> {
        let PodmanInfo { store } = serde_json::from_str(json)?;
        Ok(Self { folder: store.graph_root, driver: store.graph_driver_name, containerd: false, swarm: false })
    }
}

/// Both write `null` for a list or a map without anything in it.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
