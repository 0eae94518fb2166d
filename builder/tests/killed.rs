//! Real processes, killed at random points: what they leave is taken up by the next, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod site;
#[path = "../../vault/tests/tree/mod.rs"]
mod tree;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use site::{BACKUP, EXTRACT, RESUME, Site, VERIFY};
use tree::{assert_same, noise, thaw, zoo};

/// Kills commands at points that are spread over the time which they take.
struct Killer {
    /// How long the command takes when it is let be, as far as is known.
    whole: Duration,
    random: u64,
    killed: u32,
}

impl Killer {
    fn new(whole: Duration, seed: u64) -> Self {
        Self { whole, random: seed, killed: 0 }
    }

    fn delay(&mut self) -> Duration {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.whole.mul_f64((self.random >> 40) as f64 / (1 << 24) as f64)
    }

    /// Starts the command and kills it after a random delay, unless it is done by then.
    fn start(&mut self, site: &Site, args: &[&str]) {
        let delay = self.delay();
        let mut child = site.command(args).spawn().unwrap();
        std::thread::sleep(delay);
        match child.try_wait().unwrap() {
            None => {
                child.kill().unwrap();
                self.killed += 1;
            }
            // It is quicker than was thought, so the next are killed earlier.
            Some(_) => self.whole = self.whole.mul_f64(0.9),
        }
        child.wait().unwrap();
    }
}

fn remove(folder: &Path) {
    if folder.exists() {
        thaw(folder);
        fs::remove_dir_all(folder).unwrap();
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

#[test]
fn an_extraction_killed_at_a_hundred_points_is_completed_by_the_next() {
    let site = Site::new();
    zoo(&site.path("tree"));
    for at in 0..200 {
        fs::write(site.path("tree/dir").join(format!("f{at}")), noise(3_000 + at * 100, at as u64)).unwrap();
    }
    site.ok(BACKUP);
    let whole = timed(|| drop(site.ok(EXTRACT)));
    assert_same(&site.path("tree"), &site.path("out"));
    let mut killer = Killer::new(whole, 7);
    while killer.killed < 100 {
        remove(&site.path("out"));
        // The first into nothing, then three that are killed while they resume.
        killer.start(&site, EXTRACT);
        (0..3).for_each(|_| killer.start(&site, RESUME));
        site.ok(RESUME);
        assert_same(&site.path("tree"), &site.path("out"));
    }
    remove(&site.path("out"));
    thaw(&site.path("tree"));
}

#[test]
fn a_folder_that_holds_something_is_not_extracted_into_unless_it_is_resumed() {
    let site = Site::new();
    fs::create_dir(site.path("tree")).unwrap();
    fs::write(site.path("tree/file"), "file").unwrap();
    site.ok(BACKUP);
    fs::create_dir_all(site.path("out/lost+found")).unwrap();
    fs::write(site.path("out/file"), "mine").unwrap();
    let said = site.ends(30, EXTRACT);
    assert!(said.contains("not empty") && said.contains("--resume"), "{said}");
    assert_eq!(fs::read(site.path("out/file")).unwrap(), b"mine");
    fs::remove_file(site.path("out/file")).unwrap();
    site.ok(EXTRACT);
    assert!(site.ok(RESUME).contains("1 files were complete before"));
}

#[test]
fn resuming_is_not_fooled_by_a_file_that_only_looks_complete() {
    let site = Site::new();
    let tree = site.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), noise(50_000, 1)).unwrap();
    fs::write(tree.join("b"), noise(50_000, 1)).unwrap();
    fs::write(tree.join("large"), noise(600_000, 2)).unwrap();
    for name in ["a", "b", "large"] {
        tree::set_mtime(&tree.join(name), 1_000_000_000, 7);
    }
    site.ok(BACKUP);
    site.ok(EXTRACT);
    let out = site.path("out");
    // Size and time as recorded, a byte in the middle not; and two files that are one inode.
    for (name, at) in [("a", 49_999), ("large", 300_000)] {
        let mut bytes = fs::read(out.join(name)).unwrap();
        bytes[at] ^= 1;
        fs::write(out.join(name), bytes).unwrap();
        tree::set_mtime(&out.join(name), 1_000_000_000, 7);
    }
    site.ok(RESUME);
    assert_same(&tree, &out);
    fs::remove_file(out.join("b")).unwrap();
    fs::hard_link(out.join("a"), out.join("b")).unwrap();
    site.ok(RESUME);
    assert_same(&tree, &out);
    assert_ne!(fs::metadata(out.join("a")).unwrap().ino(), fs::metadata(out.join("b")).unwrap().ino());
}

#[test]
fn a_backup_killed_at_thirty_points_leaves_a_vault_that_the_next_run_completes() {
    let site = Site::new();
    let tree = site.path("tree");
    fs::create_dir(&tree).unwrap();
    for at in 0..60 {
        fs::write(tree.join(format!("f{at}")), noise(40_000, at)).unwrap();
    }
    let whole = timed(|| drop(site.ok(BACKUP)));
    let mut killer = Killer::new(whole, 11);
    let mut round = 0;
    while killer.killed < 30 {
        round += 1;
        for at in 0..30 {
            fs::write(tree.join(format!("f{}", (round + at * 7) % 60)), noise(40_000, round * 1000 + at)).unwrap();
        }
        (0..3).for_each(|_| killer.start(&site, BACKUP));
        // Whatever was cut: all that is signed verifies, and the next run goes through.
        site.ok(VERIFY);
        site.ok(BACKUP);
        site.ok(VERIFY);
        remove(&site.path("out"));
        site.ok(EXTRACT);
        assert_same(&tree, &site.path("out"));
    }
}
