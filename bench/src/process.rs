//! What the kernel says about this process's descendants: their memory now, the processor time of those that ended.

use std::path::Path;
use std::time::Duration;

/// What one look at a tree of processes showed, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Sum of the resident sizes at this moment.
    pub resident: u64,
    /// The largest high-water mark that any single process has reached so far.
    pub high_water: u64,
}

impl Memory {
    /// The most that is known to have been resident at once.
    pub fn peak(self) -> u64 {
        self.resident.max(self.high_water)
    }
}

/// Looks at every descendant of this process. One that ends meanwhile counts as nothing.
pub fn descendants() -> Memory {
    let mut memory = Memory::default();
    let mut open = children("self");
    while let Some(pid) = open.pop() {
        open.extend(children(&pid));
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        memory.resident += kilobytes(&status, "VmRSS:") * 1024;
        memory.high_water = memory.high_water.max(kilobytes(&status, "VmHWM:") * 1024);
    }
    memory
}

fn children(pid: &str) -> Vec<String> {
    let threads = std::fs::read_dir(Path::new("/proc").join(pid).join("task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The value of a line such as `VmRSS:     1234 kB` of `/proc/PID/status`; 0 where it is not there (a zombie has none).
fn kilobytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}

/// User and system time of all descendants that have ended and were waited for, in the kernel's ticks of 10 ms.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn ended_children() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let ticks = child_ticks(&stat).ok_or_else(|| anyhow::anyhow!("/proc/self/stat is not as proc(5) says: {stat}"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Fields 16 and 17 of `/proc/PID/stat`, `cutime` and `cstime`. Field 2, the name, may hold blanks and brackets.
fn child_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Some(fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_children_are_found_behind_a_strange_name() {
        let stat = "4242 (a) b (c) S 1 4242 4242 0 -1 4194304 100 200 0 0 11 12 130 14 20 0 1 0 5555 1 1";
        assert_eq!(child_ticks(stat), Some(144));
        assert_eq!(child_ticks("4242 (short) S 1"), None);
    }

    #[test]
    fn sizes_are_read_from_a_status() {
        let status = "Name:\tzstd\nVmHWM:\t   20480 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n";
        assert_eq!((kilobytes(status, "VmHWM:"), kilobytes(status, "VmRSS:")), (20480, 1024));
        assert_eq!(kilobytes("Name:\tzombie\n", "VmRSS:"), 0);
    }

    #[test]
    fn a_childs_children_are_counted_too() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = exec::Command::new("sh").args(["-c", "sleep 30 & sleep 30; true"]).spawn(log.path()).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while children("self").iter().map(|shell| children(shell).len()).max() < Some(2) {
            assert!(std::time::Instant::now() < deadline, "the shell's two children were not seen");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(descendants().resident > 0);
        drop(child);
    }
}
