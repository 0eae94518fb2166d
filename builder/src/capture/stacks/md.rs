//! Software RAID: `mdadm --detail`, and from sysfs what that does not tell.

use std::collections::BTreeMap;
use std::path::Path;

use exec::Command;
use layout::Bytes;
use layout::lsblk::BlockDevice;
use layout::md::Array;
use manifest::host::Gap;

use super::known;
use crate::capture::gap;
use crate::capture::source::Source;

/// The running arrays, by kernel name.
pub(super) fn arrays(source: &Source, devices: &[BlockDevice], gaps: &mut Vec<Gap>) -> BTreeMap<String, Array> {
    let running = devices.iter().filter(|device| source.exists(folder(device).join("level")));
    running
        .filter_map(|device| match array(source, device, devices) {
            Ok(array) => Some((device.kname.clone(), array)),
            Err(error) => {
                gaps.push(gap(&device.path, format!("{error:#}; this array cannot be brought back")));
                None
            }
        })
        .collect()
}

fn folder(device: &BlockDevice) -> std::path::PathBuf {
    Path::new("/sys/class/block").join(&device.kname).join("md")
}

fn array(source: &Source, device: &BlockDevice, devices: &[BlockDevice]) -> anyhow::Result<Array> {
    let mdadm = exec::find("mdadm").unwrap_or_else(|| "mdadm".into());
    let detail = Command::new(mdadm).args(["--detail", "--export"]).arg(format!("/dev/{}", device.kname)).read()?;
    let number = |name: &str| source.number(folder(device).join(name)).unwrap_or(0);
    let layout = u32::try_from(number("layout")).unwrap_or(0);
    let mut array = Array::parse(&detail, Bytes(number("chunk_size")), layout)?;
    for member in array.members.iter_mut().flatten().chain(&mut array.spares) {
        if let Some(path) = known(member, devices) {
            *member = path;
        }
    }
    Ok(array)
}
