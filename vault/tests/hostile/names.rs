//! Names that lead somewhere else, or are not names.

use vault::Kind::Corrupt;

use crate::forge::Forge;
use crate::{Fixture, Verdict::*, fixture, run};

/// Renames `other` in the catalogue, keeping its place.
fn other(forge: &mut Forge, name: &str) {
    forge.swap("other", r#""path":"other""#, &format!(r#""path":"{name}""#));
}

const FIXTURES: &[Fixture] = &[
    fixture("absolute", |f| other(f, &f.outside().join("x").display().to_string()), Refused(Corrupt)),
    fixture(
        "absolute folder",
        |f| {
            f.swap("d", r#""path":"d""#, r#""path":"/d""#);
        },
        Refused(Corrupt),
    ),
    fixture("parent", |f| other(f, "../outside/x"), Refused(Corrupt)),
    fixture("parent inside", |f| other(f, "n/../../outside/x"), Refused(Corrupt)),
    fixture("parent at the end", |f| other(f, "n/.."), Refused(Corrupt)),
    fixture("parent escaped", |f| other(f, "%2E%2E/outside/x"), Refused(Corrupt)),
    fixture("dot", |f| other(f, "./other"), Refused(Corrupt)),
    fixture("empty component", |f| other(f, "o//other"), Refused(Corrupt)),
    fixture("slash at the end", |f| other(f, "other/"), Refused(Corrupt)),
    fixture("NUL", |f| other(f, "other%00"), Refused(Corrupt)),
    fixture("longer than Linux allows", |f| other(f, &"o".repeat(256)), Refused(Corrupt)),
    fixture("escape that is none", |f| other(f, "other%G0"), Refused(Corrupt)),
    fixture("escape cut off", |f| other(f, "other%4"), Refused(Corrupt)),
    fixture("twice", |f| other(f, "link"), Refused(Corrupt)),
    fixture("out of order", |f| other(f, "a"), Refused(Corrupt)),
    fixture("twice by another spelling", |f| other(f, "%6Cink"), Refused(Corrupt)),
    fixture("in a folder that is not there", |f| other(f, "m/other"), Refused(Corrupt)),
    fixture("in a folder that is over", |f| other(f, "d/other"), Refused(Corrupt)),
    fixture("below a symlink", |f| other(f, "link/other"), Refused(Corrupt)),
    fixture(
        "below a symlink to outside",
        |f| {
            let outside = f.outside().display().to_string();
            let line = f.entry_line("o", 'l', &outside);
            f.before("other", line);
            other(f, "o/other");
        },
        Refused(Corrupt),
    ),
    fixture("below a file", |f| other(f, "d/good/other"), Refused(Corrupt)),
    fixture(
        "root that is a file",
        |f| {
            f.swap("", r#""type":"d""#, r#""type":"p""#);
        },
        Refused(Corrupt),
    ),
    fixture(
        "no root",
        |f| {
            f.lines.remove(0);
        },
        Refused(Corrupt),
    ),
    fixture(
        "root in the middle",
        |f| {
            let root = f.lines[0].clone();
            f.before("other", root);
        },
        Refused(Corrupt),
    ),
    fixture(
        "any other bytes are a name",
        |f| {
            let line = f.file_line("o\n\"\\%\u{1b}[2J", b"x");
            f.before("other", line);
        },
        Sound,
    ),
];

#[test]
fn names_that_leave_the_snapshot_or_lie_about_it_are_refused() {
    run(FIXTURES);
}
