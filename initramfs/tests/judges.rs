//! The image held against the tools that everybody has: `cpio`, `xz`, `zstd`, `ldd` and the dynamic linker itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use initramfs::{Added, Compression, Group, Node, Programs, Sysroot, Tree};

/// Programs of every Debian, small and large, with few libraries and with many.
const PROGRAMS: [&str; 4] = ["/sbin/mke2fs", "/bin/bash", "/bin/ls", "/bin/mount"];

/// A tree as a stick's: merged /usr, a device node, the programs.
fn sample() -> Tree {
    let sysroot = Sysroot::new("/");
    let mut tree = Tree::new();
    tree.directory(Path::new("/proc"), 0o755).unwrap();
    tree.char_device(Path::new("/dev/console"), 0o600, 5, 1).unwrap();
    tree.file(Path::new("/init"), 0o755, b"#!/bin/sh\n".to_vec(), Group::Rescue).unwrap();
    let programs = Programs::of(&sysroot).unwrap();
    for program in PROGRAMS {
        assert_eq!(programs.add(&mut tree, Path::new(program)).unwrap(), Added::Whole, "{program}");
    }
    tree
}

fn output_of(command: &mut Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A tool that stops reading early shows in its status, not here.
        let _ = stdin.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn unpack(tree: &Tree) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut cpio = Command::new("cpio");
    // The node needs root; everything else is unpacked as the kernel would.
    cpio.args(["-i", "-d", "--quiet", "--no-absolute-filenames", "--nonmatching", "dev/console"]);
    output_of(cpio.current_dir(folder.path()), &tree.archive().bytes());
    folder
}

#[test]
fn cpio_lists_every_entry_with_its_kind_and_nothing_else() {
    let tree = sample();
    let listed = output_of(Command::new("cpio").args(["-t", "--quiet"]), &tree.archive().bytes());
    let listed: BTreeSet<PathBuf> = listed.lines().map(|line| Path::new("/").join(line)).collect();
    assert_eq!(listed, tree.entries().map(|(path, _)| path.to_owned()).collect());
    let long = output_of(Command::new("cpio").args(["-t", "-v", "--quiet"]), &tree.archive().bytes());
    assert!(long.lines().any(|line| line.starts_with("crw-------") && line.ends_with("dev/console")), "{long}");
}

#[test]
fn what_was_unpacked_is_what_the_tree_holds() {
    let tree = sample();
    let folder = unpack(&tree);
    for (path, entry) in tree.entries() {
        let outside = folder.path().join(path.strip_prefix("/").unwrap());
        match &entry.node {
            Node::File(content) => assert!(fs::read(&outside).unwrap() == *content, "{}", path.display()),
            Node::Link(target) => assert_eq!(fs::read_link(&outside).unwrap(), *target),
            Node::Directory => assert!(outside.is_dir()),
            Node::CharDevice { .. } => {}
        }
    }
}

#[test]
fn stock_tools_open_the_image_and_find_the_archive() {
    let archive = sample().archive();
    for (compression, tool) in [(Compression::Xz, "xz"), (Compression::Zstd, "zstd")] {
        let image = archive.compress(compression, 2).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (packed, plain) = (folder.path().join("image"), folder.path().join("plain"));
        fs::write(&packed, &image.bytes).unwrap();
        let status =
            Command::new(tool).args(["-q", "-d", "-c"]).arg(&packed).stdout(fs::File::create(&plain).unwrap()).status();
        assert!(status.unwrap().success(), "{tool}");
        assert!(fs::read(&plain).unwrap() == archive.bytes(), "{tool}");
    }
}

/// What `ldd` finds by running the dynamic linker, ours finds by reading.
#[test]
fn every_library_that_ldd_names_is_there() {
    let tree = sample();
    for program in PROGRAMS {
        let listed = output_of(Command::new("ldd").arg(program), b"");
        let libraries: Vec<&str> = listed.split_whitespace().filter(|word| word.starts_with('/')).collect();
        assert!(!libraries.is_empty(), "{program}: {listed}");
        for library in libraries {
            let real = fs::canonicalize(library).unwrap();
            assert!(tree.get(&real).is_some(), "{program} needs {library}");
            assert!(tree.get(Path::new(library)).is_some(), "{library} can be found under the name it is asked for");
        }
    }
}

/// No library of the host can help out: the unpacked linker searches the unpacked folders only.
#[test]
fn an_unpacked_program_runs_on_unpacked_libraries_alone() {
    let folder = unpack(&sample());
    let inside = |path: &str| folder.path().join(path);
    let linker = fs::read_dir(inside("lib64")).unwrap().next().unwrap().unwrap().path();
    let search =
        format!("{}:{}", inside("lib/x86_64-linux-gnu").display(), inside("usr/lib/x86_64-linux-gnu").display());
    let mut run = Command::new(linker);
    run.args(["--inhibit-cache", "--library-path", &search]).arg(inside("sbin/mke2fs")).arg("-V").env_clear();
    let trace = run.env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
    let trace = String::from_utf8_lossy(&trace.stdout).into_owned();
    let found = trace.lines().filter_map(|line| line.split_once("=> ")?.1.split_whitespace().next());
    let elsewhere: Vec<&str> = found.filter(|path| !Path::new(path).starts_with(folder.path())).collect();
    assert!(elsewhere.is_empty() && !trace.contains("not found"), "{trace}");
    let run = run.env_remove("LD_TRACE_LOADED_OBJECTS").output().unwrap();
    assert!(run.status.success() && String::from_utf8_lossy(&run.stderr).contains("mke2fs"), "{run:?}");
}

#[test]
fn the_same_root_makes_the_same_bytes() {
    let (one, two) = (sample().archive(), sample().archive());
    assert!(one.bytes() == two.bytes());
    assert!(one.compress(Compression::Xz, 1).unwrap().bytes == two.compress(Compression::Xz, 2).unwrap().bytes);
}
