//! `lifeboat diff`, names of snapshots, and `extract` of one file, from outside.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod keeper;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keeper::{Site, copy};
use serde_json::Value;

const DIFF: &[&str] = &["diff", "--vault", "vault", "--identity", "id.txt"];

fn lines(site: &Site, rest: &[&str]) -> Vec<Value> {
    let text = site.ok(&[DIFF, rest, &["--json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_was_added_removed_and_changed_is_told_with_what_changed() {
    let site = Site::new();
    fs::write(site.path("tree/etc/goes"), "gone").unwrap();
    fs::create_dir(site.path("tree/srv")).unwrap();
    fs::write(site.path("tree/srv/mode"), "mode").unwrap();
    site.backup("one");
    fs::remove_file(site.path("tree/etc/goes")).unwrap();
    fs::write(site.path("tree/etc/comes"), "12345").unwrap();
    fs::set_permissions(site.path("tree/srv/mode"), fs::Permissions::from_mode(0o600)).unwrap();
    site.backup("two, longer");
    let all = lines(&site, &["latest~1"]);
    let (head, summary) = (&all[0], &all[all.len() - 1]);
    assert_eq!((&head["schema"], &head["from"], &head["to"]), (&1.into(), &1.into(), &2.into()));
    let find = |path: &str| all.iter().find(|line| line["path"] == path).unwrap_or(&Value::Null);
    assert_eq!((&find("/etc/comes")["change"], &find("/etc/comes")["size_after"]), (&"added".into(), &5.into()));
    assert_eq!((&find("/etc/goes")["change"], &find("/etc/goes")["size_before"]), (&"removed".into(), &4.into()));
    assert_eq!(find("/etc/number")["what"], serde_json::json!(["content", "time"]));
    assert_eq!(find("/srv/mode")["what"], serde_json::json!(["mode"]));
    assert_eq!(find("/etc/fstab"), &Value::Null);
    assert_eq!((&summary["added"], &summary["removed"]), (&1.into(), &1.into()));
    let text = site.ok(&[DIFF, &["1", "2"]].concat());
    assert!(text.contains("+ /etc/comes") && text.contains("- /etc/goes") && text.contains("M /srv/mode"), "{text}");
    assert!(text.lines().last().unwrap().contains("1 added"), "{text}");
    let below = lines(&site, &["1", "2", "--path", "/srv"]);
    assert_eq!((below.len(), &below[1]["path"]), (3, &"/srv/mode".into()));
    let none = lines(&site, &["2", "2"]);
    assert_eq!((none.len(), &none[1]["changed"]), (2, &0.into()));
}

#[test]
fn snapshots_have_names_and_wrong_ones_are_refused() {
    let site = Site::new();
    site.backup("one");
    site.backup("two");
    assert!(site.ok(&["show", "--vault", "vault", "latest~1"]).contains("snapshot 1 of"));
    site.refused(10, &["latest~2"], &["show", "--vault", "vault", "latest~2"]);
    site.refused(2, &["newest", "latest~1"], &["show", "--vault", "vault", "newest"]);
}

/// Content that does not compress, so that files fill segments.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Segments that can be removed while a file still comes out whole.
fn needed(site: &Site, path: &str, wanted: &[u8]) -> usize {
    copy(&site.path("vault"), &site.path("whole"));
    let segments = site.objects("segments");
    let mut needed = 0;
    for segment in &segments {
        fs::remove_file(site.path("vault").join(segment)).unwrap();
        let _ = fs::remove_dir_all(site.path("one"));
        let output = site.run(&["extract", "--vault", "vault", "--identity", "id.txt", "--to", "one", "latest", path]);
        if output.status.code() != Some(0) {
            fs::copy(site.path("whole").join(segment), site.path("vault").join(segment)).unwrap();
            needed += 1;
        }
    }
    let _ = fs::remove_dir_all(site.path("alone"));
    site.extract("latest", &[path], "alone");
    assert!(fs::read(site.path("alone").join(path)).unwrap() == wanted);
    assert!(segments.len() > needed, "{} segments", segments.len());
    copy(&site.path("whole"), &site.path("vault"));
    needed
}

#[test]
fn one_file_needs_one_segment_and_a_large_one_those_of_its_blocks() {
    let site = Site::new();
    for number in 0..4 {
        fs::write(site.path(&format!("tree/file{number}")), noise(number, 2 << 20)).unwrap();
        site.backup(&number.to_string());
    }
    let mut large = noise(77, 65 << 20);
    fs::write(site.path("tree/large"), &large).unwrap();
    site.backup("large");
    large[40 << 20..(40 << 20) + 10].fill(1);
    fs::write(site.path("tree/large"), &large).unwrap();
    site.backup("large again");
    assert_eq!(needed(&site, "file2", &noise(2, 2 << 20)), 1);
    let all = site.objects("segments").len();
    assert!(needed(&site, "large", &large) < all - 3);
}
