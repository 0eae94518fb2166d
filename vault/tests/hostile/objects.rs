//! What the manifest lists: keys, segments and numbers that do not belong together.

use vault::Kind::{Corrupt, NotFound};

use crate::forge::Forge;
use crate::{Fixture, Verdict::*, fixture, run};

/// The large file, moved to a second segment.
fn second_segment(forge: &mut Forge, number: u64) {
    let at = forge.lines.iter().position(|line| line.starts_with(r#"{"path":"z""#)).unwrap();
    forge.lines.truncate(at);
    forge.segments.push(crate::forge::Segment { number, plain: Vec::new(), opened: None, spoil: |bytes| bytes });
    forge.large("z", 20);
}

const LOST: &[&str] = &["d/good", "other", "z"];

const FIXTURES: &[Fixture] = &[
    fixture(
        "key of another run",
        |f| f.key_text = Some(format!("{}\n", "ab".repeat(32)).into_bytes()),
        Refused(Corrupt),
    ),
    fixture("key of 128 bits", |f| f.key_text = Some(format!("{}\n", "07".repeat(16)).into_bytes()), Refused(Corrupt)),
    fixture("key that is no number", |f| f.key_text = Some(vec![b'x'; 64]), Refused(Corrupt)),
    fixture("key of 2 MB", |f| f.key_text = Some(vec![b'0'; 2 << 20]), Refused(Corrupt)),
    fixture(
        "key with another digest",
        |f| f.contents = |c| c["runs"][0]["key_sha256"] = "0".repeat(64).into(),
        Refused(Corrupt),
    ),
    fixture(
        "run listed twice",
        |f| {
            f.contents = |c| {
                let run = c["runs"][0].clone();
                c["runs"] = vec![run.clone(), run].into();
            }
        },
        Refused(Corrupt),
    ),
    fixture(
        "catalogue of a run that is not listed",
        |f| f.contents = |c| c["catalogue"]["run"] = "f".repeat(32).into(),
        Refused(Corrupt),
    ),
    fixture(
        "segment of another's run",
        |f| f.contents = |c| c["segments"][0]["run"] = "f".repeat(32).into(),
        Refused(Corrupt),
    ),
    fixture(
        "segment with the number of the catalogue",
        |f| f.contents = |c| c["segments"][0]["number"] = 0.into(),
        Refused(Corrupt),
    ),
    fixture(
        "segment with a number that is reserved",
        |f| f.contents = |c| c["segments"][0]["number"] = (1u64 << 63).into(),
        Refused(Corrupt),
    ),
    fixture(
        "number used twice",
        |f| {
            f.contents = |c| {
                let s = c["segments"][0].clone();
                c["segments"] = vec![s.clone(), s].into();
            }
        },
        Refused(Corrupt),
    ),
    fixture("segment under another number", |f| f.contents = |c| c["segments"][0]["number"] = 2.into(), Lost(LOST)),
    fixture(
        "segment with the digest of the key",
        |f| f.contents = |c| c["segments"][0]["sha256"] = c["runs"][0]["key_sha256"].clone(),
        Lost(LOST),
    ),
    fixture(
        "segment of 2^64 - 1 bytes",
        |f| f.contents = |c| c["segments"][0]["size"] = u64::MAX.into(),
        Refused(Corrupt),
    ),
    fixture(
        "segment that opens to 2^64 - 1 bytes",
        |f| f.contents = |c| c["segments"][0]["opened"] = u64::MAX.into(),
        Refused(Corrupt),
    ),
    fixture(
        "catalogue of 2^64 - 1 bytes",
        |f| f.contents = |c| c["catalogue"]["size"] = u64::MAX.into(),
        Refused(Corrupt),
    ),
    fixture(
        "catalogue outside the vault",
        |f| f.contents = |c| c["catalogue"]["object"] = "../outside/secret".into(),
        Refused(Corrupt),
    ),
    fixture(
        "catalogue at an absolute name",
        |f| f.contents = |c| c["catalogue"]["object"] = "/etc/passwd".into(),
        Refused(Corrupt),
    ),
    fixture("segment as catalogue", |f| f.contents = |c| c["catalogue"]["object"] = "keys/x".into(), Refused(Corrupt)),
    fixture(
        "catalogue of another host",
        |f| f.contents = |c| c["catalogue"]["object"] = "catalogues/other/1".into(),
        Refused(Corrupt),
    ),
    fixture(
        "segment not listed",
        |f| {
            second_segment(f, 2);
            f.contents = |c| {
                c["segments"].as_array_mut().unwrap().pop();
            };
        },
        Lost(&["z"]),
    ),
    fixture(
        "two segments that change places",
        |f| {
            second_segment(f, 2);
            f.contents = |c| {
                let (a, b) = (c["segments"][0]["number"].clone(), c["segments"][1]["number"].clone());
                c["segments"][0]["number"] = b;
                c["segments"][1]["number"] = a;
            };
        },
        Lost(LOST),
    ),
    fixture(
        "segment whose compression is cut",
        |f| {
            second_segment(f, 2);
            f.segments[1].spoil = |mut bytes| {
                bytes.truncate(bytes.len() - 20);
                bytes
            };
        },
        Lost(&["z"]),
    ),
    fixture(
        "segment that is not compressed",
        |f| {
            second_segment(f, 2);
            f.segments[1].spoil = |bytes| bytes[4..].to_vec();
        },
        Lost(&["z"]),
    ),
    fixture(
        "garbage after a segment",
        |f| {
            second_segment(f, 2);
            f.segments[1].spoil = |bytes| [bytes, b"garbage".to_vec()].concat();
        },
        Told("", "and no more"),
    ),
    fixture(
        "segment that opens to more than is signed",
        |f| {
            second_segment(f, 2);
            f.segments[1].spoil = |bytes| [bytes, zstd::bulk::compress(&[0; 512], 1).unwrap()].concat();
        },
        Told("", "and no more"),
    ),
    fixture("segment with a number for hard links", |f| second_segment(f, 1 << 32), Sound),
];

#[test]
fn objects_that_do_not_belong_together_are_told() {
    run(FIXTURES);
}

#[test]
fn a_path_that_is_not_in_the_snapshot_is_a_wrong_question_and_no_damage() {
    let forge = Forge::new();
    let (vault, contents) = forge.finish();
    let mut restore = vault::Restore::new(&contents, &forge.identities, forge.dest());
    restore.select = vault::Selection::Paths(vec![vault::EntryPath::new("d/nothing").unwrap()]);
    assert_eq!(vault.restore(&restore).unwrap_err().kind(), NotFound);
}
