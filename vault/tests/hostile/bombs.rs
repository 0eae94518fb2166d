//! Little that opens to much.

use crate::forge::{Forge, Segment};
use crate::{Fixture, Verdict::*, fixture, run};
use vault::Kind::Corrupt;

/// 20 GB of zeroes in 2 MB, as frames of 64 MiB.
fn bomb(_: Vec<u8>) -> Vec<u8> {
    zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap().repeat(300)
}

fn segment(forge: &mut Forge, opened: u64) {
    forge.segments.push(Segment { number: 2, plain: Vec::new(), opened: Some(opened), spoil: bomb });
}

const FIXTURES: &[Fixture] = &[
    fixture(
        "segment declared small",
        |f| {
            segment(f, 1024);
            // Small enough for what it says.
            f.segments[1].spoil = |_| zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap().repeat(10);
            f.swap("other", r#""member":[0,1,"#, r#""member":[0,2,"#);
        },
        Lost(&["other"]),
    ),
    fixture(
        "segment declared as large as it is",
        |f| {
            segment(f, 20 << 30);
            f.swap("other", r#""member":[0,1,"#, r#""member":[0,2,"#);
        },
        Refused(Corrupt),
    ),
    fixture("catalogue declared small", |f| f.spoil = bomb, Refused(Corrupt)),
    fixture(
        "catalogue declared as large as it is",
        |f| {
            f.spoil = bomb;
            f.contents = |c| c["catalogue"]["opened"] = (20u64 << 30).into();
        },
        Refused(Corrupt),
    ),
    fixture(
        "a hundred thousand entries on one member",
        |f| {
            let line = f.line("other").clone();
            let at = f.lines.iter().position(|l| *l == line).unwrap();
            let many: Vec<String> =
                (0..100_000).map(|n| line.replacen(r#""other""#, &format!(r#""n{n:06}""#), 1)).collect();
            f.lines.splice(at..at, many);
            f.contents = |c| c["catalogue"]["opened"] = (100u64 << 20).into();
        },
        Crowded,
    ),
    fixture(
        "frame with a window of 1 GB",
        |f| {
            f.spoil = |bytes| {
                // The frame's header: magic, no content size and a window, then its blocks.
                let plain = zstd::bulk::decompress(&bytes, 1 << 20).unwrap();
                let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
                encoder.window_log(30).unwrap();
                std::io::Write::write_all(&mut encoder, &plain).unwrap();
                encoder.finish().unwrap()
            };
        },
        Refused(Corrupt),
    ),
];

#[test]
fn little_that_opens_to_much_costs_neither_memory_nor_time() {
    run(FIXTURES);
}
