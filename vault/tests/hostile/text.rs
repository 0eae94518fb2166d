//! Catalogues that are not what a catalogue is.

use vault::Kind::{Corrupt, Unsupported};

use crate::{Fixture, Verdict::*, fixture, run};

const FIXTURES: &[Fixture] = &[
    fixture(
        "later version",
        |f| {
            f.header["catalogue"] = 2.into();
            f.header["new"] = 1.into();
        },
        Refused(Unsupported),
    ),
    fixture("unknown field in the first line", |f| f.header["new"] = 1.into(), Refused(Corrupt)),
    fixture(
        "unknown field of an entry",
        |f| {
            f.swap("other", r#""inode":3"#, r#""inode":3,"exec":"sh""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "unknown field of a block",
        |f| {
            let at = f.lines.len() - 1;
            f.lines[at] = f.lines[at].replacen("{", r#"{"new":1,"#, 1);
        },
        Refused(Corrupt),
    ),
    fixture(
        "field twice",
        |f| {
            f.swap("other", r#""inode":3"#, r#""inode":3,"inode":3"#);
        },
        Refused(Corrupt),
    ),
    fixture("another host", |f| f.header["host"] = "another".into(), Refused(Corrupt)),
    fixture("another snapshot", |f| f.header["serial"] = 2.into(), Refused(Corrupt)),
    fixture(
        "run listed twice in the first line",
        |f| {
            let run = f.header["runs"][0].clone();
            f.header["runs"] = vec![run.clone(), run].into();
        },
        Refused(Corrupt),
    ),
    fixture("end counts more", |f| f.end = Some("{\"end\":99}\n".into()), Refused(Corrupt)),
    fixture("no end", |f| f.end = Some(String::new()), Refused(Corrupt)),
    fixture("no newline after the end", |f| f.end = Some("{\"end\":6}".into()), Refused(Corrupt)),
    fixture(
        "entries after the end",
        |f| f.end = Some(format!("{{\"end\":6}}\n{}\n", f.lines[1].clone())),
        Refused(Corrupt),
    ),
    fixture(
        "empty",
        |f| {
            f.lines.clear();
            f.end = Some("{\"end\":0}\n".into());
            f.contents = |c| c["catalogue"]["opened"] = 0.into();
        },
        Refused(Corrupt),
    ),
    fixture("not JSON", |f| f.lines.insert(1, "d".into()), Refused(Corrupt)),
    fixture(
        "not UTF-8",
        |f| {
            f.spoil = |bytes| {
                let mut plain = zstd::bulk::decompress(&bytes, 1 << 20).unwrap();
                let at = plain.windows(5).position(|w| w == b"other").unwrap();
                plain[at] = 0xff;
                zstd::bulk::compress(&plain, 1).unwrap()
            };
        },
        Refused(Corrupt),
    ),
    fixture(
        "nested a hundred thousand deep",
        |f| {
            f.swap("other", r#""inode":3"#, &format!(r#""inode":3,"extents":{}"#, "[".repeat(100_000)));
        },
        Refused(Corrupt),
    ),
    fixture(
        "attribute that is not base64",
        |f| {
            f.swap("other", r#""inode":3"#, r#""inode":3,"xattrs":{"user.x":"&&&&"}"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "attribute with a cut value",
        |f| {
            f.swap("other", r#""inode":3"#, r#""inode":3,"xattrs":{"user.x":"QQ="}"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "attribute without a name",
        |f| {
            f.swap("other", r#""inode":3"#, r#""inode":3,"xattrs":{"":"QQ=="}"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "attribute with NUL in its name",
        |f| {
            f.swap("other", r#""inode":3"#, r#""inode":3,"xattrs":{"user.a%00":"QQ=="}"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "attribute of 8 MB that no header has",
        |f| {
            f.swap(
                "other",
                r#""inode":3"#,
                &format!(r#""inode":3,"xattrs":{{"user.x":"{}"}}"#, "QUFB".repeat(2 << 20)),
            );
        },
        Refused(Corrupt),
    ),
    fixture(
        "line of 70 MB",
        |f| {
            f.swap("other", r#""inode":3"#, &format!(r#""inode":3{}"#, " ".repeat(70 << 20)));
        },
        Refused(Corrupt),
    ),
    fixture(
        "catalogue cut off by the manifest",
        |f| f.contents = |c| c["catalogue"]["opened"] = 300.into(),
        Refused(Corrupt),
    ),
    fixture(
        "catalogue whose compression is cut",
        |f| {
            f.spoil = |mut bytes| {
                bytes.truncate(bytes.len() - 9);
                bytes
            }
        },
        Refused(Corrupt),
    ),
    fixture("catalogue that is not compressed", |f| f.spoil = |bytes| bytes[4..].to_vec(), Refused(Corrupt)),
    fixture(
        "garbage after the catalogue",
        |f| f.spoil = |bytes| [bytes, b"garbage".to_vec()].concat(),
        Refused(Corrupt),
    ),
];

#[test]
fn catalogues_that_are_none_are_refused_before_anything_is_written() {
    run(FIXTURES);
}
