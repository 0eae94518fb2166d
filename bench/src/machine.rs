//! The machine that the figures are from. Its name is nobody's business.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// What the figures depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Type of the filesystem that everything lies on, and its device.
    pub filesystem: String,
    /// Hypervisor's flag of the processor: a virtual machine.
    pub virtual_machine: bool,
}

impl Machine {
    /// Describes this machine, with the filesystem that holds `folder`.
    pub fn of(folder: &Path) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Self {
            processor: value(&processor, "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: kilobytes(&read("/proc/meminfo")) * 1024,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            filesystem: filesystem(&read("/proc/self/mountinfo"), &folder).unwrap_or_default(),
            virtual_machine: value(&processor, "flags")
                .is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.virtual_machine { " (virtual machine)" } else { "" };
        let memory = (self.memory as f64 / f64::from(1 << 30)).round();
        let Self { processor, cores, kernel, filesystem, .. } = self;
        write!(f, "{processor}, {cores} cores{kind}; {memory} GiB of memory; Linux {kernel}; {filesystem}")
    }
}

/// The first value of a field of `/proc/cpuinfo`.
fn value(text: &str, field: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(name, _)| name.trim() == field).map(|(_, value)| value.trim().to_owned())
}

fn kilobytes(meminfo: &str) -> u64 {
    let total = value(meminfo, "MemTotal").unwrap_or_default();
    total.trim_end_matches("kB").trim().parse().unwrap_or(0)
}

/// Type and device of the mount that holds `path`: the longest mount point above it, the last one where several are stacked.
fn filesystem(mountinfo: &str, path: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        let mut after = after.split(' ');
        let found = format!("{} on {}", after.next()?, after.next()?);
        path.starts_with(point).then_some((point.len(), found))
    });
    mounts.max_by_key(|(length, _)| *length).map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_above_a_path_counts() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                      30 22 0:26 / /data rw shared:5 - xfs /dev/vdb rw\n\
                      31 22 0:27 / /database rw - tmpfs tmpfs rw\n";
        let of = |path: &str| filesystem(mounts, Path::new(path)).unwrap();
        assert_eq!(of("/data/bench"), "xfs on /dev/vdb");
        assert_eq!(of("/home"), "ext4 on /dev/vda");
        assert_eq!(of("/database"), "tmpfs on tmpfs");
    }

    #[test]
    fn this_machine_has_memory_and_a_processor() {
        let machine = Machine::of(Path::new("."));
        assert!(machine.memory > 1 << 28 && machine.cores > 0 && !machine.kernel.is_empty(), "{machine:?}");
        assert_eq!(kilobytes("MemTotal:       24684512 kB\nMemFree: 1 kB\n"), 24_684_512);
    }
}
