//! Streams, from outside: what a command writes is a file of the snapshot, or it is named as missing.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod keeper;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keeper::Site;

const TREE: &[&str] = &["backup", "--vault", "vault", "--source", "tree"];
const ALONE: &[&str] = &["backup", "--vault", "vault"];

fn configure(site: &Site, config: &str) {
    let file = site.path("config.toml");
    fs::write(&file, format!("version = 1\nhost_name = \"host\"\n{config}")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
}

fn with<'a>(command: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [command, rest].concat()
}

/// Bytes that no compression makes small, the same in every run.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

fn assert_holds(site: &Site, name: &str, content: &[u8]) {
    let _ = fs::remove_dir_all(site.path("out"));
    site.extract("latest", &[], "out");
    assert!(fs::read(site.path("out").join(name)).unwrap() == content, "{name}");
}

#[test]
fn a_stream_alone_is_a_snapshot_of_it() {
    let site = Site::new();
    let report = site.json(&with(ALONE, &["--stdin-from", "printf 'a\\nb\\n' | cat", "--name", "dumps/app.sql"]));
    assert_eq!((&report["entries"], &report["bytes"]), (&3.into(), &4.into()), "{report}");
    assert_holds(&site, "dumps/app.sql", b"a\nb\n");
    let mode = |name: &str| fs::metadata(site.path("out").join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("dumps/app.sql"), mode("dumps")), (0o600, 0o700));
    site.verify();
    let list = site.json(&["list", "--vault", "vault"]);
    assert_eq!(list["snapshots"][0]["scope"], "tree");
    // Nothing of it lay on the disk.
    assert!(fs::read_dir(site.path("state")).unwrap().all(|file| file.unwrap().file_name() != "dumps"));
}

#[test]
fn several_streams_lie_in_the_tree_and_hide_what_was_there() {
    let site = Site::new();
    fs::create_dir_all(site.path("tree/dumps/folder")).unwrap();
    fs::write(site.path("tree/dumps/old.sql"), "left by a restore").unwrap();
    fs::hard_link(site.path("tree/dumps/old.sql"), site.path("tree/dumps/other-name")).unwrap();
    let streams = ["--stdin-from", "echo z", "--name", "z/last", "--stdin-from", "echo new", "--name", "dumps/old.sql"];
    site.ok(&with(TREE, &streams));
    assert_holds(&site, "dumps/old.sql", b"new\n");
    assert_holds(&site, "dumps/other-name", b"left by a restore");
    assert_holds(&site, "z/last", b"z\n");
    assert_holds(&site, "etc/fstab", &fs::read(site.path("tree/etc/fstab")).unwrap());
    assert!(site.path("out/dumps/folder").is_dir());
    site.verify();
}

#[test]
fn a_stream_in_whose_way_the_tree_is_gets_named() {
    let site = Site::new();
    fs::create_dir_all(site.path("tree/a/b")).unwrap();
    std::os::unix::fs::symlink("/elsewhere", site.path("tree/link")).unwrap();
    let streams = ["--stdin-from", "echo x", "--name", "a/b", "--stdin-from", "echo y", "--name", "link/c/d"];
    let said = site.ends(3, &with(TREE, &streams));
    assert!(said.contains("/a/b: a folder in the tree has its name; the stream is not in the snapshot"), "{said}");
    assert!(said.contains("/link/c/d: /link in the tree is no folder; the stream is not"), "{said}");
    site.verify();
    site.extract("latest", &[], "out");
    assert!(site.path("out/a/b").is_dir() && site.path("out/link").is_symlink());
}

#[test]
fn a_command_that_fails_leaves_no_file_not_even_an_older_one() {
    let site = Site::new();
    fs::write(site.path("tree/app.sql"), "yesterday's").unwrap();
    for (command, how) in [
        ("echo half; echo hunter2 >&2; exit 9", "exit status: 9"),
        ("(echo half; exit 1) | cat", "exit status: 1"),
        ("echo half; kill -9 $$", "signal: 9"),
        ("/no/such/program", "exit status: 127"),
    ] {
        let said = site.ends(3, &with(TREE, &["--stdin-from", command, "--name", "app.sql"]));
        assert!(said.contains("/app.sql: its command ended with ") && said.contains(how), "{command}: {said}");
        let _ = fs::remove_dir_all(site.path("out"));
        site.extract("latest", &[], "out");
        assert!(!site.path("out/app.sql").exists() && site.path("out/etc/fstab").exists(), "{command}");
    }
    site.verify();
    for object in site.objects("manifests") {
        assert!(!String::from_utf8_lossy(&fs::read(site.path("vault").join(object)).unwrap()).contains("hunter2"));
    }
}

#[test]
fn a_stream_that_is_needed_or_alone_fails_the_run() {
    let site = Site::new();
    site.refused(
        1,
        &["/x: its command", "exit status: 9"],
        &with(ALONE, &["--stdin-from", "echo a; exit 9", "--name", "x"]),
    );
    configure(&site, "[[stream]]\nname = \"x\"\ncommand = [\"false\"]\non = \"fail\"\n");
    site.refused(1, &["/x: its command", "exit status: 1"], TREE);
    assert!(site.serials().is_empty());
    configure(&site, "[[stream]]\nname = \"x\"\ncommand = [\"/no/such/program\"]\n");
    site.refused(3, &["/x: its command could not be started"], TREE);
    assert_eq!(site.serials(), [1]);
}

#[test]
fn a_limit_ends_a_stream_and_it_is_not_in_the_snapshot() {
    let site = Site::new();
    configure(&site, "[[stream]]\nname = \"x\"\ncommand = 'echo half; sleep 300'\nlimit = \"1s\"\n");
    site.refused(3, &["/x: its command was stopped after 1 s; it is not in the snapshot"], TREE);
    site.extract("latest", &[], "out");
    assert!(!site.path("out/x").exists());
    let limited = ["--stdin-from", "sleep 300", "--name", "y", "--stdin-limit", "1s"];
    site.refused(1, &["/y", "was stopped after 1 s"], &with(ALONE, &limited));
}

#[test]
fn the_configurations_streams_are_captured_and_an_unchanged_one_costs_nothing() {
    let site = Site::new();
    let content = noise(300_000, 3);
    fs::write(site.path("dump"), &content).unwrap();
    configure(&site, "[[stream]]\nname = \"postgresql/app.sql\"\ncommand = [\"cat\", \"dump\"]\n");
    let first = site.json(TREE);
    assert!(first["stored_bytes"].as_u64().unwrap() > 300_000, "{first}");
    let second = site.json(TREE);
    assert!(second["stored_bytes"].as_u64().unwrap() < 20_000, "{second}");
    assert_holds(&site, "postgresql/app.sql", &content);
    let third = site.json(&with(TREE, &["--full"]));
    assert!(third["stored_bytes"].as_u64().unwrap() > 300_000, "{third}");
    // One alone does not make the next run of the tree forget what is stored.
    site.ok(&with(ALONE, &["--stdin-from", "cat dump", "--name", "x"]));
    let fourth = site.json(TREE);
    assert!(fourth["stored_bytes"].as_u64().unwrap() < 20_000, "{fourth}");
    site.verify();
}

/// A vault with small segments, so that a megabyte is a large file.
fn small_segments() -> Site {
    let site = Site::new();
    fs::remove_dir_all(site.path("vault")).unwrap();
    let init =
        ["init", "--vault", "vault", "--identity", "new.txt", "--yes", "--segment-size", "64K", "--block-size", "4K"];
    site.ok(&init);
    fs::copy(site.path("new.txt"), site.path("id.txt")).unwrap();
    site
}

#[test]
fn a_stream_larger_than_a_segment_is_kept_in_blocks() {
    let site = small_segments();
    for (at, len) in [64 << 10, (64 << 10) + 1, 3_000_000, 0].into_iter().enumerate() {
        let mut content = noise(len, at as u64);
        if len > 1_000_000 {
            content[500_000..900_000].fill(0);
        }
        fs::write(site.path("dump"), &content).unwrap();
        let stream = ["--stdin-from", "cat dump", "--name", "large/dump"];
        site.ok(&with(ALONE, &stream));
        assert_holds(&site, "large/dump", &content);
        site.verify();
        let again = site.json(&with(ALONE, &stream));
        assert!(again["stored_bytes"].as_u64().unwrap() < 10_000, "{len}: {again}");
        assert_holds(&site, "large/dump", &content);
    }
    // One changed block costs one block.
    let mut content = noise(3_000_000, 2);
    let stream = ["--stdin-from", "cat dump", "--name", "large/dump"];
    for byte in [0, 1] {
        content[1_000_000] = byte;
        fs::write(site.path("dump"), &content).unwrap();
        let report = site.json(&with(ALONE, &stream));
        assert!(byte == 0 || report["stored_bytes"].as_u64().unwrap() < 60_000, "{report}");
        assert_holds(&site, "large/dump", &content);
    }
    site.verify();
    // One that fails late leaves nothing.
    site.ends(3, &with(TREE, &["--stdin-from", "cat dump; exit 1", "--name", "large/dump"]));
    let _ = fs::remove_dir_all(site.path("out"));
    site.extract("latest", &[], "out");
    assert!(!site.path("out/large").exists());
    site.verify();
}

#[test]
fn stock_tools_restore_streams_too() {
    let site = small_segments();
    let content = noise(500_000, 5);
    fs::write(site.path("dump"), &content).unwrap();
    let streams =
        ["--stdin-from", "cat dump", "--name", "etc/large", "--stdin-from", "echo small", "--name", "new/small"];
    site.ok(&with(TREE, &streams));
    fs::create_dir(site.path("out")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/recover/recover.sh");
    let output = std::process::Command::new("sh")
        .arg(script)
        .args(["--vault", &site.text("vault"), "--identity", &site.text("id.txt"), "--no-signature"])
        .args(["--to", &site.text("out")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(site.path("out/etc/large")).unwrap() == content);
    assert_eq!(fs::read(site.path("out/new/small")).unwrap(), b"small\n");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let site = Site::new();
    site.ends(2, &with(ALONE, &["--stdin-from", "x"]));
    site.ends(2, &with(ALONE, &["--name", "x"]));
    site.refused(2, &["2 times"], &with(ALONE, &["--stdin-from", "a", "--stdin-from", "b", "--name", "x"]));
    site.refused(2, &["relative path"], &with(ALONE, &["--stdin-from", "a", "--name", "/etc/passwd"]));
    site.refused(2, &["relative path"], &with(ALONE, &["--stdin-from", "a", "--name", "../x"]));
    let twice = ["--stdin-from", "a", "--name", "x", "--stdin-from", "b", "--name", "x/y"];
    site.refused(2, &["cannot be both"], &with(ALONE, &twice));
    site.refused(2, &["restore no machine"], &["backup", "--stick", "image", "--stdin-from", "a", "--name", "x"]);
    assert!(site.serials().is_empty());
}
