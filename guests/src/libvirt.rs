//! Domains of libvirt: what of the host each of them needs, from its XML.
//!
//! Format: <https://libvirt.org/formatdomain.html>. The definition of a running domain and the status file that its driver keeps in
//! `/run` have the same elements. Passwords are not read.

use serde::Serialize;

/// A domain's definition cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// It is no XML.
    #[error("it is no XML: {0}")]
    Xml(#[from] roxmltree::Error),
    /// It has no such element.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// Its UUID is none.
    #[error("{0:?} is no UUID")]
    Uuid(String),
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Domain {
    /// Its UUID, in lower case: safe as a name of a file and as an argument.
    pub uuid: String,
    /// Its name, as it is written.
    pub name: String,
    /// Its disks, drives without a medium among them.
    pub disks: Vec<Disk>,
    /// The file of its firmware variables.
    pub firmware: Option<String>,
    /// It has a TPM that a program of the host imitates.
    pub tpm: bool,
    /// A channel for the guest agent is configured.
    pub agent: bool,
    /// Folders of the host that it mounts.
    pub folders: Vec<String>,
    /// Kinds of the host's devices that are passed through: `pci`, `usb`.
    pub devices: Vec<String>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Its name in the guest: `vda`.
    pub target: String,
    /// `disk`, `cdrom`, `floppy`, `lun`.
    pub device: String,
    /// Where it lies.
    pub place: Place,
    /// Format of its image, where it is written.
    pub format: String,
    /// The guest cannot write to it.
    pub read_only: bool,
    /// Other guests may write to it too.
    pub shared: bool,
    /// What it builds on, the nearest first; known of running domains.
    pub chain: Vec<Place>,
}

/// Where a disk lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In a file of the host.
    File(String),
    /// On a block device of the host.
    Block(String),
    /// In a volume of a pool.
    Volume {
        /// Name of the pool.
        pool: String,
        /// Name of the volume.
        volume: String,
    },
    /// Somewhere else: `network`, `nvme`, `vhostuser`.
    Other(String),
    /// Nowhere: an empty drive.
    Empty,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) | Self::Block(path) => f.write_str(path),
            Self::Volume { pool, volume } => write!(f, "volume {volume} of pool {pool}"),
            Self::Other(kind) => write!(f, "a place of type {kind}"),
            Self::Empty => f.write_str("no medium"),
        }
    }
}

impl Domain {
    /// Reads a definition, or the status file of a running domain.
    ///
    /// # Errors
    /// When it is no XML, or is not that of a domain.
    pub fn parse(xml: &str) -> Result<Self, DomainError> {
        let document = roxmltree::Document::parse(xml)?;
        let top = document.root_element();
        let domain = if top.has_tag_name("domain") { Some(top) } else { child(top, "domain") };
        let domain = domain.ok_or(DomainError::Missing("domain"))?;
        let uuid = text(domain, "uuid").ok_or(DomainError::Missing("uuid"))?.to_ascii_lowercase();
        if !is_uuid(&uuid) {
            return Err(DomainError::Uuid(uuid));
        }
        let devices = child(domain, "devices");
        let all = |name: &'static str| devices.into_iter().flat_map(move |devices| children(devices, name));
        let folders = all("filesystem").filter_map(|folder| attribute(folder, "source", "dir"));
        Ok(Self {
            uuid,
            name: text(domain, "name").ok_or(DomainError::Missing("name"))?,
            disks: all("disk").map(disk).collect(),
            firmware: child(domain, "os").and_then(|os| text(os, "nvram")),
            tpm: all("tpm").any(|tpm| attribute(tpm, "backend", "type").as_deref() == Some("emulator")),
            agent: all("channel")
                .any(|channel| attribute(channel, "target", "name").as_deref() == Some("org.qemu.guest_agent.0")),
            folders: folders.collect(),
            devices: all("hostdev").filter_map(|device| device.attribute("type").map(str::to_owned)).collect(),
        })
    }
}

/// Where the volumes of a pool lie, by its definition; none where no name of a volume leads there.
///
/// Format: <https://libvirt.org/formatstorage.html>.
///
/// # Errors
/// When it is no XML, or not that of a pool.
pub fn folder_of_pool(xml: &str) -> Result<Option<String>, DomainError> {
    let document = roxmltree::Document::parse(xml)?;
    let pool = document.root_element();
    if !pool.has_tag_name("pool") {
        return Err(DomainError::Missing("pool"));
    }
    // In these a volume is what the folder has by its name: a file, or a logical volume's node.
    let by_name = matches!(pool.attribute("type"), Some("dir" | "fs" | "netfs" | "logical"));
    Ok(child(pool, "target").filter(|_| by_name).and_then(|target| text(target, "path")))
}

fn disk(disk: roxmltree::Node<'_, '_>) -> Disk {
    let mut chain = Vec::new();
    let mut below = child(disk, "backingStore");
    // An empty element ends the chain.
    while let Some(store) = below.filter(|store| store.has_attribute("type")) {
        chain.push(place(store));
        below = child(store, "backingStore");
    }
    Disk {
        target: attribute(disk, "target", "dev").unwrap_or_default(),
        device: disk.attribute("device").unwrap_or("disk").to_owned(),
        place: place(disk),
        format: attribute(disk, "driver", "type").unwrap_or_default(),
        read_only: child(disk, "readonly").is_some(),
        shared: child(disk, "shareable").is_some(),
        chain,
    }
}

/// Of a disk, or of what it builds on.
fn place(disk: roxmltree::Node<'_, '_>) -> Place {
    let Some(source) = child(disk, "source") else { return Place::Empty };
    let of = |name: &str| source.attribute(name).map(str::to_owned);
    let kind = disk.attribute("type").unwrap_or_default();
    let found = match kind {
        "file" => of("file").map(Place::File),
        "block" => of("dev").map(Place::Block),
        "volume" => of("pool").zip(of("volume")).map(|(pool, volume)| Place::Volume { pool, volume }),
        _ => Some(Place::Other(kind.to_owned())),
    };
    found.unwrap_or(Place::Empty)
}

fn children<'a, 'input>(
    node: roxmltree::Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = roxmltree::Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

fn child<'a, 'input>(node: roxmltree::Node<'a, 'input>, name: &'static str) -> Option<roxmltree::Node<'a, 'input>> {
    children(node, name).next()
}

fn text(node: roxmltree::Node<'_, '_>, name: &'static str) -> Option<String> {
    let text = child(node, name)?.text()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn attribute(node: roxmltree::Node<'_, '_>, name: &'static str, attribute: &str) -> Option<String> {
    child(node, name)?.attribute(attribute).map(str::to_owned)
}

/// Whether it has the form of a UUID, in lower case.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    let dash = |at| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| {
        if dash(at) { byte == b'-' } else { byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) }
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use super::*;

    const RUNNING: &str = include_str!("../fixtures/libvirt/running.xml");
    const STATUS: &str = include_str!("../fixtures/libvirt/status.xml");
    const DEFINED: &str = include_str!("../fixtures/libvirt/defined.xml");

    fn file(path: &str) -> Place {
        Place::File(path.to_owned())
    }

    #[test]
    fn a_running_domain_tells_its_disks_with_what_they_build_on() {
        let domain = Domain::parse(RUNNING).unwrap();
        assert_eq!((domain.uuid.as_str(), domain.name.as_str()), ("0f0f0f0f-1111-4222-8333-444455556666", "web"));
        let [top, raw, drive] = &domain.disks[..] else { panic!("{:?}", domain.disks) };
        assert_eq!(
            (top.target.as_str(), &top.place, top.format.as_str()),
            ("vda", &file("/srv/vm/top.qcow2"), "qcow2")
        );
        assert_eq!(top.chain, [file("/srv/vm/base.qcow2")]);
        assert_eq!((&raw.place, raw.format.as_str()), (&file("/srv/vm/b.raw"), "raw"));
        assert_eq!((&drive.place, drive.device.as_str(), drive.read_only), (&Place::Empty, "cdrom", true));
        assert!(domain.agent && !domain.tpm);
        assert_eq!(domain.folders, ["/srv/shared"]);
    }

    #[test]
    fn the_status_file_of_a_running_domain_tells_the_same() {
        assert_eq!(Domain::parse(STATUS).unwrap(), Domain::parse(RUNNING).unwrap());
    }

    #[test]
    fn a_defined_domain_tells_places_that_are_no_files() {
        let domain = Domain::parse(DEFINED).unwrap();
        let places: Vec<String> = domain.disks.iter().map(|disk| disk.place.to_string()).collect();
        assert_eq!(places, ["/dev/vg/mail", "volume db.qcow2 of pool default", "a place of type network"]);
        assert_eq!(domain.firmware.as_deref(), Some("/var/lib/libvirt/qemu/nvram/mail_VARS.fd"));
        assert!(domain.tpm && !domain.agent);
        assert_eq!(domain.devices, ["usb"]);
    }

    #[test]
    fn a_pool_tells_the_folder_of_its_volumes_where_it_has_one() {
        let pool =
            |kind: &str| format!("<pool type='{kind}'><name>a</name><target><path>/srv/a</path></target></pool>");
        assert_eq!(folder_of_pool(&pool("dir")).unwrap().as_deref(), Some("/srv/a"));
        assert_eq!(folder_of_pool(&pool("iscsi")).unwrap(), None);
        assert!(folder_of_pool("<network/>").unwrap_err().to_string().contains("no pool"));
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for (xml, said) in [
            ("<network/>", "it has no domain"),
            ("<domain><name>a</name></domain>", "it has no uuid"),
            ("<domain><name>a</name><uuid>../../etc/passwd</uuid></domain>", "is no UUID"),
            ("<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><domain/>", "it is no XML"),
            ("", "it is no XML"),
        ] {
            let error = Domain::parse(xml).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
