//! Processor, memory and PCI devices.

use layout::Bytes;
use manifest::host::{Hardware, PciDevice};

use super::source::Source;

pub(super) fn profile(source: &Source) -> Hardware {
    let cpuinfo = source.text("/proc/cpuinfo").unwrap_or_default();
    let meminfo = source.text("/proc/meminfo").unwrap_or_default();
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    Hardware {
        cpu: field(&cpuinfo, "model name").unwrap_or_default().to_owned(),
        cpus: cpuinfo.lines().filter(|line| line.split(':').next().is_some_and(|key| key.trim() == "processor")).count()
            as u32,
        memory: Bytes(kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024),
        hypervisor: hypervisor(source, &cpuinfo),
        pci: pci(source),
    }
}

fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    let pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next()
}

/// The hypervisor by the name that the firmware or Xen gives it, where the processor says that there is one.
fn hypervisor(source: &Source, cpuinfo: &str) -> Option<String> {
    let virtual_cpu = field(cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let xen = source.text("/sys/hypervisor/type");
    if !virtual_cpu && xen.is_none() {
        return None;
    }
    Some(xen.or_else(|| source.text("/sys/class/dmi/id/sys_vendor")).unwrap_or_else(|| "unknown".into()))
}

fn pci(source: &Source) -> Vec<PciDevice> {
    let folder = "/sys/bus/pci/devices";
    let device = |address: String| {
        let id = |name: &str| {
            let text = source.text(format!("{folder}/{address}/{name}")).unwrap_or_default();
            text.trim_start_matches("0x").to_owned()
        };
        PciDevice {
            class: id("class"),
            vendor: id("vendor"),
            device: id("device"),
            driver: source.link_name(format!("{folder}/{address}/driver")),
            address,
        }
    };
    source.names(folder).into_iter().map(device).collect()
}
