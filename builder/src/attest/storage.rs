//! Partition tables, filesystems and swap areas of images against the layout that the manifest records.

use layout::disk::Table;
use layout::dos::DosTable;
use layout::ext::Ext;
use layout::gpt::{GptTable, Partition};
use layout::{Guid, Kind, Layout, Node, NodeId};
use manifest::Host;

use super::image::{Image, Part};
use super::{Difference, content};

/// The partition with this GUID, in whichever image it is.
pub(super) fn part_with_guid<'a>(images: &'a [Image], guid: &Guid) -> Option<&'a Part> {
    let mut parts = images.iter().flat_map(Image::partitions);
    parts.find(|part| part.entry.as_ref().is_some_and(|entry| entry.guid == *guid))
}

/// The partition of the recorded layout that a filesystem lies on.
pub(super) fn partition_below<'a>(layout: &'a Layout, node: &Node) -> Option<&'a Partition> {
    node.on.iter().filter_map(|id| layout.node(id)).find_map(|parent| match &parent.kind {
        Kind::Partition(partition) => Some(partition),
        _ => None,
    })
}

/// Every difference between the recorded storage that comes back and the images. Sizes and places may differ: disks do.
pub(super) fn compare(host: &Host, images: &[Image]) -> Vec<Difference> {
    let mut found = Vec::new();
    for disk in host.coverage.disks(&host.layout) {
        disk_table(&host.layout, disk, images, &mut found);
    }
    for node in host.layout.nodes.iter().filter(|node| host.coverage.restores(&node.id)) {
        let Some(partition) = partition_below(&host.layout, node) else { continue };
        // A partition that is missing is a difference of its table.
        if let Some(part) = part_with_guid(images, &partition.guid) {
            held(node, part, &mut found);
        }
    }
    found
}

fn disk_table(layout: &Layout, disk: &NodeId, images: &[Image], found: &mut Vec<Difference>) {
    let Some(Node { kind: Kind::Disk(recorded), path, .. }) = layout.node(disk) else { return };
    let object = format!("{disk} ({path})");
    let table = match &recorded.table {
        Table::Gpt(table) => table,
        Table::Dos(table) => return dos_table(&object, table, layout, disk, images, found),
        Table::Mbr | Table::None => return,
    };
    let with_guid = |image: &&Image| image.table().is_some_and(|there| there.guid == table.guid);
    let Some(image) = images.iter().find(with_guid) else {
        let there: Vec<String> = images
            .iter()
            .map(|image| image.table().map_or("no table".into(), |table| table.guid.to_string()))
            .collect();
        found.push(Difference::new(object, "disk GUID", table.guid.as_str(), there.join(", ")));
        return;
    };
    if let Some(there) = image.table() {
        attributes(&object, table, there, found);
    }
    partitions(&object, layout, disk, image, found);
}

fn dos_table(
    object: &str,
    recorded: &DosTable,
    layout: &Layout,
    disk: &NodeId,
    images: &[Image],
    found: &mut Vec<Difference>,
) {
    let with_signature = |image: &&Image| image.dos().is_some_and(|there| there.signature == recorded.signature);
    let signature = |table: &DosTable| format!("{:08x}", table.signature);
    let Some(image) = images.iter().find(with_signature) else {
        let there: Vec<String> =
            images.iter().map(|image| image.dos().map_or("no DOS table".into(), signature)).collect();
        found.push(Difference::new(object, "disk signature", signature(recorded), there.join(", ")));
        return;
    };
    for entry in &recorded.entries {
        let fields = |table: &DosTable| {
            table.entry(entry.number).map(|one| format!("type {:02x}, boot flag {}", one.kind, one.active))
        };
        let (wanted, there) = (fields(recorded), image.dos().and_then(fields));
        if wanted != there {
            let (wanted, there) = (wanted.unwrap_or_default(), there.unwrap_or_else(|| "none".to_owned()));
            found.push(Difference::new(object, format!("partition {} in the DOS table", entry.number), wanted, there));
        }
    }
    partitions(object, layout, disk, image, found);
}

fn partitions(object: &str, layout: &Layout, disk: &NodeId, image: &Image, found: &mut Vec<Difference>) {
    let wanted: Vec<&Partition> = layout
        .children(disk)
        .filter_map(|node| match &node.kind {
            Kind::Partition(partition) => Some(partition),
            _ => None,
        })
        .collect();
    for partition in &wanted {
        partition_entry(object, partition, image, found);
    }
    for entry in image.partitions().iter().filter_map(|part| part.entry.as_ref()) {
        if !wanted.iter().any(|partition| partition.number == entry.number) {
            found.push(Difference::new(object, format!("partition {}", entry.number), "none", entry.guid.as_str()));
        }
    }
}

fn attributes(object: &str, recorded: &GptTable, there: &GptTable, found: &mut Vec<Difference>) {
    if there.capacity < recorded.capacity {
        found.push(Difference::new(object, "table size", recorded.capacity.to_string(), there.capacity.to_string()));
    }
}

fn partition_entry(object: &str, recorded: &Partition, image: &Image, found: &mut Vec<Difference>) {
    let what = |field: &str| format!("partition {}{field}", recorded.number);
    let entries = image.partitions().iter().filter_map(|part| part.entry.as_ref());
    let Some(there) = entries.into_iter().find(|entry| entry.number == recorded.number) else {
        found.push(Difference::new(object, what(""), recorded.guid.as_str(), "none"));
        return;
    };
    let hex = |attributes: u64| format!("{attributes:#x}");
    for (field, expected, has) in [
        (" GUID", recorded.guid.to_string(), there.guid.to_string()),
        (" type", recorded.type_guid.to_string(), there.type_guid.to_string()),
        (" name", format!("{:?}", recorded.name), format!("{:?}", there.name)),
        (" attributes", hex(recorded.attributes), hex(there.attributes)),
    ] {
        if expected != has {
            found.push(Difference::new(object, what(field), expected, has));
        }
    }
}

/// A recorded filesystem or swap area against the partition that should hold it.
fn held(node: &Node, part: &Part, found: &mut Vec<Difference>) {
    let object = format!("{} ({})", node.id, node.path);
    let window = part.window();
    let mut check = |what: &str, expected: String, has: String| {
        if expected != has {
            found.push(Difference::new(&object, what, expected, has));
        }
    };
    match &node.kind {
        Kind::Ext(recorded) => match content::ext(&window) {
            Ok(there) => ext_fields(recorded)
                .into_iter()
                .zip(ext_fields(&there))
                .for_each(|((what, expected), (_, has))| check(what, expected, has)),
            Err(error) => check("filesystem", recorded.fstype.clone(), format!("{error:#}")),
        },
        Kind::Vfat(recorded) => match content::vfat(&window) {
            Ok(there) => {
                check("volume serial number", recorded.serial.clone(), there.serial);
                check("label", recorded.label.clone(), there.label);
                check("FAT width", recorded.fat_bits.to_string(), there.fat_bits.to_string());
            }
            Err(error) => check("filesystem", "vfat".into(), format!("{error:#}")),
        },
        Kind::Swap(recorded) => match content::swap(&window) {
            Ok(there) => {
                check("UUID", recorded.uuid.clone(), there.uuid);
                check("label", recorded.label.clone(), there.label);
            }
            Err(error) => check("swap area", recorded.uuid.clone(), format!("{error:#}")),
        },
        Kind::Disk(_) | Kind::Partition(_) | Kind::Volatile(_) | Kind::Opaque(_) => {}
        // Not read from outside: the walk through the files says so.
        Kind::Xfs(_) | Kind::Btrfs(_) | Kind::Luks(_) | Kind::Array(_) | Kind::Pv(_) | Kind::Vg(_) | Kind::Lv(_) => {}
        Kind::Pool(_) | Kind::Dataset(_) => {}
    }
}

fn ext_fields(ext: &Ext) -> [(&'static str, String); 7] {
    [
        ("filesystem", ext.fstype.clone()),
        ("UUID", ext.uuid.clone()),
        ("label", ext.label.clone()),
        ("features", ext.features.join(" ")),
        ("block size", ext.block_size.to_string()),
        ("inode size", ext.inode_size.to_string()),
        ("default mount options", ext.default_mount_options.join(" ")),
    ]
}
