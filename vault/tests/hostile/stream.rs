//! Tar headers that disagree with the catalogue. The catalogue is what is restored; stock tar would make what the header says.

use crate::forge::{Forge, header};
use crate::{Fixture, Verdict::*, fixture, run};

/// Stores another member for `other` than the catalogue describes.
fn other(forge: &mut Forge, member: &[u8]) {
    let segment = &mut forge.segments[0].plain;
    let at = segment.windows(6).position(|w| w == b"other\0").unwrap();
    segment[at..at + member.len()].copy_from_slice(member);
}

/// Stores another header for an entry without data.
fn plain(forge: &mut Forge, name: &str, member: &[u8]) {
    let segment = &mut forge.segments[0].plain;
    let name = format!("{name}\0");
    let at = segment.windows(name.len()).enumerate().position(|(at, w)| at % 512 == 0 && w == name.as_bytes()).unwrap();
    segment[at..at + member.len()].copy_from_slice(member);
}

fn changed(change: fn(&mut tar::Header)) -> Vec<u8> {
    let mut member = header(b'0', "other", "", 0o755, b"other");
    let mut head = tar::Header::from_byte_slice(&member[..512]).clone();
    change(&mut head);
    head.set_cksum();
    member[..512].copy_from_slice(head.as_bytes());
    member
}

const FIXTURES: &[Fixture] = &[
    fixture("name", |f| other(f, &header(b'0', "../../x", "", 0o755, b"other")), Told("other", "name")),
    fixture("absolute name", |f| other(f, &header(b'0', "/etc/x", "", 0o755, b"other")), Told("other", "name")),
    fixture(
        "mode",
        |f| other(f, &header(b'0', "other", "", 0o4755, b"other")),
        Told("other", "mode 4755 instead of 755"),
    ),
    fixture("size", |f| other(f, &changed(|h| h.set_size(0))), Told("other", "size 0 instead of 5")),
    fixture("type", |f| other(f, &changed(|h| h.set_entry_type(tar::EntryType::Char))), Told("other", "type")),
    fixture("owner", |f| other(f, &changed(|h| h.set_uid(1000))), Told("other", "uid 1000 instead of 0")),
    fixture("time", |f| other(f, &changed(|h| h.set_mtime(99))), Told("other", "mtime 99 instead of 5")),
    fixture(
        "checksum",
        |f| {
            let mut m = header(b'0', "other", "", 0o755, b"other");
            m[0] ^= 1;
            other(f, &m);
        },
        Told("other", "checksum"),
    ),
    fixture(
        "target of a symlink",
        |f| plain(f, "link", &header(b'2', "link", "/etc/shadow", 0o755, b"")),
        Told("link", "link target"),
    ),
    fixture(
        "folder that is a symlink",
        |f| plain(f, "d/", &header(b'2', "d/", "/", 0o755, b"")),
        Told("d", "link target"),
    ),
    fixture(
        "target of a hard link",
        |f| {
            let line = f.entry_line("o", 'h', "d/good");
            f.before("other", line);
            plain(f, "o", &header(b'1', "o", "/etc/shadow", 0o755, b""));
        },
        Told("o", "link target"),
    ),
    fixture(
        "name of a block",
        |f| {
            plain(f, "lifeboat-blocks/0000000000000003/0000000000001000", &{
                let mut m = header(b'0', "lifeboat-blocks/0000000000000003/0000000000002000", "", 0o600, &[2; 4096]);
                m[136..148].copy_from_slice(b"00000000000\0");
                let sum: u32 = m[..512]
                    .iter()
                    .enumerate()
                    .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
                    .sum();
                m[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                m
            })
        },
        Told("z", "block at 4096"),
    ),
    fixture(
        "attribute that the header does not have",
        |f| {
            let member = {
                let mut m = header(b'0', "other", "", 0o755, b"other");
                m.splice(0..0, [0; 512]);
                m
            };
            let line = f.line("other").clone();
            let (before, _) = line.split_once(r#""member":"#).unwrap();
            let offset = f.segments[0].plain.len();
            f.segments[0].plain.extend_from_slice(&member);
            *f.line("other") = format!(
                r#"{}"member":[0,1,{offset},1536,1024]}}"#,
                before.replacen(r#""inode":3"#, r#""inode":3,"xattrs":{"user.x":"QQ=="}"#, 1)
            );
        },
        Told("other", "checksum"),
    ),
    fixture(
        "content",
        |f| {
            let mut m = header(b'0', "other", "", 0o755, b"other");
            m[512] = b'O';
            other(f, &m);
        },
        Lost(&["other"]),
    ),
    fixture(
        "content of a block",
        |f| {
            let at = f.segments[0].plain.len() - 1;
            f.segments[0].plain[at] ^= 1;
        },
        Lost(&["z"]),
    ),
    fixture(
        "hash",
        |f| {
            f.swap("other", r#""blake3":""#, r#""blake3":"00"#);
            let line = f.line("other");
            let at = line.find(r#"","member""#).unwrap();
            line.replace_range(at - 2..at, "");
        },
        Lost(&["other"]),
    ),
];

#[test]
fn a_stream_that_disagrees_with_the_catalogue_is_told_by_entry() {
    run(FIXTURES);
}
