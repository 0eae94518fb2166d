//! Sizes, offsets and numbers that do not fit.

use vault::Kind::Corrupt;

use crate::forge::Forge;
use crate::{Fixture, Verdict::*, fixture, run};

/// Changes `other`'s size.
fn size(forge: &mut Forge, size: &str) {
    forge.swap("other", r#""size":5"#, &format!(r#""size":{size}"#));
}

/// Gives `other` another member: `[run, number, offset, length, head]`.
fn member(forge: &mut Forge, change: fn(&mut [u64])) {
    let line = forge.line("other");
    let (before, member) = line.split_once(r#""member":["#).unwrap();
    let mut numbers: Vec<u64> = member.trim_end_matches("]}").split(',').map(|n| n.parse().unwrap()).collect();
    change(&mut numbers);
    *line = format!(r#"{before}"member":{numbers:?}}}"#);
}

fn extents(forge: &mut Forge, extents: &str) {
    forge.swap("other", r#""inode":3"#, &format!(r#""inode":3,"extents":{extents}"#));
}

const FIXTURES: &[Fixture] = &[
    fixture("size 2^64 - 1", |f| size(f, "18446744073709551615"), Refused(Corrupt)),
    fixture("size 2^64", |f| size(f, "18446744073709551616"), Refused(Corrupt)),
    fixture("size -1", |f| size(f, "-1"), Refused(Corrupt)),
    fixture(
        "size 2^63 - 1, all a hole",
        |f| {
            size(f, "9223372036854775807");
            extents(f, "[]");
        },
        Refused(Corrupt),
    ),
    fixture(
        "size 2^62 with a little data",
        |f| {
            size(f, "4611686018427387904");
            extents(f, "[[0,5]]");
        },
        Refused(Corrupt),
    ),
    fixture(
        "large file of 2^63 - 1",
        |f| {
            f.swap("z", r#""size":81920"#, r#""size":9223372036854775807"#);
        },
        NotMade(&["z"]),
    ),
    fixture("larger than its member", |f| size(f, "600"), Refused(Corrupt)),
    fixture("member that overflows", |f| member(f, |m| m[2] = u64::MAX - 100), Refused(Corrupt)),
    fixture("member of 2^64 - 1", |f| member(f, |m| m[3] = u64::MAX), Refused(Corrupt)),
    fixture("head longer than its member", |f| member(f, |m| m[4] = m[3] + 1), Refused(Corrupt)),
    fixture("no room for a header", |f| member(f, |m| m[4] = 0), Refused(Corrupt)),
    fixture("member behind the segment's end", |f| member(f, |m| m[2] += 1 << 40), Lost(&["other"])),
    fixture("member in a segment that is not listed", |f| member(f, |m| m[1] = 99), Lost(&["other"])),
    fixture("member of a run that is not listed", |f| member(f, |m| m[0] = 4_000_000_000), Lost(&["other"])),
    fixture(
        "member that is another's",
        |f| {
            let theirs = f.line("d/good").split_once(r#""member":"#).unwrap().1.to_owned();
            let line = f.line("other");
            *line = format!(r#"{}"member":{theirs}"#, line.split_once(r#""member":"#).unwrap().0.to_owned());
            size(f, "4");
        },
        Lost(&["other"]),
    ),
    fixture("extents that overlap", |f| extents(f, "[[0,3],[2,3]]"), Refused(Corrupt)),
    fixture("extents out of order", |f| extents(f, "[[3,2],[0,3]]"), Refused(Corrupt)),
    fixture("extent behind the file's end", |f| extents(f, "[[0,6]]"), Refused(Corrupt)),
    fixture("extent that overflows", |f| extents(f, "[[4,18446744073709551615]]"), Refused(Corrupt)),
    fixture("extents of nothing", |f| extents(f, "[[0,0],[0,0],[0,5]]"), Refused(Corrupt)),
    fixture(
        "block off its grid",
        |f| {
            let at = block(f, 1);
            f.lines[at] = f.lines[at].replacen("4096", "4097", 1);
        },
        Refused(Corrupt),
    ),
    fixture(
        "block behind the file's end",
        |f| {
            let at = block(f, 19);
            f.lines[at] = f.lines[at].replacen("77824", "409600", 1);
        },
        Refused(Corrupt),
    ),
    fixture(
        "block twice",
        |f| {
            let at = block(f, 3);
            f.lines.insert(at, f.lines[at].clone());
            f.swap("z", r#""blocks":20"#, r#""blocks":21"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "fewer blocks than it says",
        |f| {
            f.swap("z", r#""blocks":20"#, r#""blocks":1152921504606846976"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "more blocks than it says",
        |f| {
            f.swap("z", r#""blocks":20"#, r#""blocks":19"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "file without a hash",
        |f| {
            let line = f.line("other");
            let at = line.find(r#","blake3""#).unwrap();
            line.replace_range(at..at + 75 + 1, "");
        },
        Refused(Corrupt),
    ),
    fixture(
        "nanoseconds beyond a second",
        |f| {
            f.swap("other", r#""mtime":[5,0]"#, r#""mtime":[5,1000000000]"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "mode beyond 7777",
        |f| {
            f.swap("other", r#""mode":"0755""#, r#""mode":"100755""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "mode not octal",
        |f| {
            f.swap("other", r#""mode":"0755""#, r#""mode":"0999""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "owner -1",
        |f| {
            f.swap("other", r#""uid":0"#, r#""uid":4294967295"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "blocks of the header larger than memory",
        |f| {
            f.header["block_size"] = (1u64 << 40).into();
        },
        Refused(Corrupt),
    ),
    fixture(
        "blocks of nothing",
        |f| {
            f.header["block_size"] = 0.into();
        },
        Refused(Corrupt),
    ),
    fixture(
        "blocks of a file larger than memory",
        |f| {
            f.swap("z", r#""blocks":20"#, r#""block_size":1099511627776,"blocks":20"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "blocks of a file larger than a segment",
        |f| {
            f.swap("z", r#""blocks":20"#, r#""block_size":1048576,"blocks":20"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "blocks of a file of nothing",
        |f| {
            f.swap("z", r#""blocks":20"#, r#""block_size":0,"blocks":20"#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "block size of a file without blocks",
        |f| {
            f.swap("other", r#""blake3""#, r#""block_size":4096,"blake3""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "blocks larger than vault.json says",
        |f| {
            f.header["block_size"] = 8192.into();
        },
        Refused(Corrupt),
    ),
];

/// Place of the line of the large file's block number `at`.
fn block(forge: &Forge, at: usize) -> usize {
    forge.lines.iter().position(|line| line.starts_with(r#"{"block":0,"#)).unwrap() + at
}

#[test]
fn numbers_that_do_not_fit_are_refused_or_cost_their_entry() {
    run(FIXTURES);
}
