//! Links and special files.

use vault::Kind::Corrupt;

use crate::forge::Forge;
use crate::{Fixture, Verdict::*, fixture, run};

fn add(forge: &mut Forge, path: &str, kind: char, link: &str) {
    let line = forge.entry_line(path, kind, link);
    forge.before("other", line);
}

const FIXTURES: &[Fixture] = &[
    fixture("symlink to outside", |f| add(f, "o", 'l', &f.outside().join("secret").display().to_string()), Sound),
    fixture(
        "symlink with an empty target",
        |f| {
            f.swap("link", r#""link":"d/good""#, r#""link":"""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "symlink with NUL",
        |f| {
            f.swap("link", r#""link":"d/good""#, r#""link":"d%00""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "symlink without a target",
        |f| {
            f.swap("link", r#","link":"d/good""#, "");
        },
        Refused(Corrupt),
    ),
    fixture(
        "symlink longer than Linux allows",
        |f| {
            f.swap("link", r#""link":"d/good""#, &format!(r#""link":"{}""#, "x".repeat(5000)));
        },
        NotMade(&["link"]),
    ),
    fixture(
        "hard link to an absolute name",
        |f| add(f, "o", 'h', &f.outside().join("secret").display().to_string()),
        Refused(Corrupt),
    ),
    fixture("hard link to a parent", |f| add(f, "o", 'h', "../outside/secret"), Refused(Corrupt)),
    fixture("hard link to a later name", |f| add(f, "o", 'h', "other"), Refused(Corrupt)),
    fixture("hard link to itself", |f| add(f, "o", 'h', "o"), Refused(Corrupt)),
    fixture("hard link to the root", |f| add(f, "o", 'h', ""), Refused(Corrupt)),
    fixture("hard link to nothing", |f| add(f, "o", 'h', "nothing"), NotMade(&["o"])),
    fixture("hard link to a folder", |f| add(f, "o", 'h', "d"), NotMade(&["o"])),
    fixture(
        "hard link through a symlink to outside",
        |f| {
            add(f, "a", 'l', &f.outside().display().to_string());
            let line = f
                .lines
                .iter()
                .position(|line| line.starts_with(r#"{"path":"a""#))
                .map(|at| f.lines.remove(at))
                .unwrap();
            f.before("d", line);
            add(f, "o", 'h', "a/secret");
        },
        NotMade(&["o"]),
    ),
    fixture("hard link to a symlink", |f| add(f, "o", 'h', "link"), Sound),
    fixture("device", |f| add(f, "o", 'b', ""), NotMade(&["o"])),
    fixture("character device", |f| add(f, "o", 'c', ""), NotMade(&["o"])),
    fixture(
        "device without numbers",
        |f| {
            add(f, "o", 'b', "");
            f.swap("o", r#","rdev":[0,0]"#, "");
        },
        Refused(Corrupt),
    ),
    fixture(
        "numbers of a device on a file",
        |f| {
            f.swap("other", r#""inode":3"#, r#""inode":3,"rdev":[8,0]"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "type that is none",
        |f| {
            f.swap("link", r#""type":"l""#, r#""type":"x""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "socket with data",
        |f| {
            add(f, "o", 'p', "");
            f.swap("o", r#""type":"p""#, r#""type":"s""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "folder with a size",
        |f| {
            f.swap("d", r#""inode":3"#, r#""inode":3,"size":5"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "flags that freeze a folder and what is in it",
        |f| {
            f.swap("d", r#""inode":3"#, r#""inode":3,"flags":48"#);
            f.swap("d/good", r#""inode":3"#, r#""inode":3,"flags":16"#);
        },
        Sound,
    ),
    fixture(
        "project and flags of all ones",
        |f| {
            f.swap("other", r#""inode":3"#, r#""inode":3,"flags":4294967295,"project":4294967295"#);
        },
        NotMade(&["other"]),
    ),
];

#[test]
fn links_and_special_files_reach_nothing_outside() {
    run(FIXTURES);
}
