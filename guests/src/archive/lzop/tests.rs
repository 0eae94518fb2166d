//! What the real lzop wrote is read, every damage to it is found, and no length that a member claims costs memory.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use proptest::prelude::*;

use super::*;

const PLAIN: &[u8] = include_bytes!("../../../fixtures/vma/small.vma");
const USUAL: &[u8] = include_bytes!("../../../fixtures/packing/small-3.vma.lzo");

fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    Lzop::new(bytes).read_to_end(&mut out).map(|_| out)
}

fn why(bytes: &[u8]) -> String {
    unpacked(bytes).unwrap_err().to_string()
}

/// A member with these flags, whose blocks are written by `blocks`.
fn member(flags: u32, blocks: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut header = [0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5].to_vec();
    header.extend(flags.to_be_bytes());
    header.extend([0; 13]);
    let crc = flags & Flags::CRC_HEADER != 0;
    let sum = if crc { crc32fast::hash(&header) } else { adler2::adler32_slice(&header) };
    let mut bytes = [&MAGIC[..], &header, &sum.to_be_bytes()].concat();
    blocks(&mut bytes);
    bytes.extend([0; 4]);
    bytes
}

/// A block of 512 zeroes, as LZO1X has them, with all four sums.
fn zeroes(bytes: &mut Vec<u8>) {
    const PACKED: [u8; 10] = [0x12, 0, 0x20, 0, 0xdf, 0, 0, 0x11, 0, 0];
    let numbers = [512, 10, adler2::adler32_slice(&[0; 512]), crc32fast::hash(&[0; 512])];
    numbers.iter().for_each(|number: &u32| bytes.extend(number.to_be_bytes()));
    bytes.extend(adler2::adler32_slice(&PACKED).to_be_bytes());
    bytes.extend(crc32fast::hash(&PACKED).to_be_bytes());
    bytes.extend(PACKED);
}

const ALL_SUMS: u32 =
    Flags::ADLER_CONTENT | Flags::ADLER_PACKED | Flags::CRC_CONTENT | Flags::CRC_PACKED | Flags::CRC_HEADER;

#[test]
fn what_lzop_wrote_at_every_level_is_read() {
    let of_level = [
        (&include_bytes!("../../../fixtures/packing/small-1.vma.lzo")[..], true),
        (USUAL, true),
        (include_bytes!("../../../fixtures/packing/small-9.vma.lzo"), true),
        (include_bytes!("../../../fixtures/packing/small-crc.vma.lzo"), true),
        (include_bytes!("../../../fixtures/packing/small-nosum.vma.lzo"), false),
    ];
    for (number, (bytes, sum)) in of_level.into_iter().enumerate() {
        assert!(unpacked(bytes).unwrap() == PLAIN, "{number}");
        assert_eq!(has_content_sum(bytes), sum, "{number}");
    }
    let stored = unpacked(include_bytes!("../../../fixtures/packing/hard.lzo")).unwrap();
    assert_eq!(stored.len(), 4096);
}

#[test]
fn no_bit_that_changes_changes_the_content_unseen() {
    for good in [USUAL, include_bytes!("../../../fixtures/packing/small-crc.vma.lzo"), &member(ALL_SUMS, zeroes)] {
        let content = unpacked(good).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.to_vec();
                bad[at] ^= 1 << bit;
                // Of two ways to pack the same, a flip may lead to the other.
                assert!(unpacked(&bad).map_or(true, |found| found == content), "bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn every_cut_is_found_as_one() {
    for cut in 0..USUAL.len() {
        assert_eq!(unpacked(&USUAL[..cut]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
    }
}

#[test]
fn members_in_a_row_are_one_stream_and_nothing_else_may_follow() {
    assert!(unpacked(&[USUAL, USUAL].concat()).unwrap() == [PLAIN, PLAIN].concat());
    assert_eq!(why(&[USUAL, b"something else"].concat()), "what follows its end is no further member");
}

#[test]
fn every_sum_that_is_there_is_held_against_its_bytes() {
    let good = member(ALL_SUMS, zeroes);
    assert_eq!(unpacked(&good).unwrap(), [0; 512]);
    let sums = good.len() - 4 - 10 - 16;
    for (at, words) in
        [(0, "sum of its content"), (4, "sum of its content"), (8, "what is packed"), (12, "what is packed")]
    {
        let mut bad = good.clone();
        bad[sums + at] ^= 1;
        assert!(why(&bad).contains(words), "{at}: {}", why(&bad));
    }
}

#[test]
fn lengths_that_no_block_has_are_refused_before_there_is_memory_for_them() {
    let claims = |length: u32, packed: u32| {
        why(&member(0, |bytes| {
            bytes.extend(length.to_be_bytes());
            bytes.extend(packed.to_be_bytes());
        }))
    };
    for (length, packed) in [(u32::MAX, 10), (LARGEST + 1, LARGEST), (10, 11), (10, 0), (u32::MAX, u32::MAX)] {
        assert!(claims(length, packed).contains("are possible"), "{length} {packed}");
    }
    // One that is allowed and not there is a cut.
    assert!(unpacked(&member(0, |bytes| bytes.extend([0, 0x80, 0, 0, 0, 0x7f, 0, 0]))).is_err());
    let more = member(0, |bytes| bytes.extend([0, 0, 2, 1, 0, 0, 0, 10, 0x12, 0, 0x20, 0, 0xdf, 0, 0, 0x11, 0, 0]));
    assert_eq!(why(&more), "its block 1 does not unpack to its 513 bytes");
}

#[test]
fn what_lzop_does_not_write_is_named() {
    for (flags, words) in [
        (Flags::FILTER, "a filter"),
        (Flags::EXTRA, "a further field"),
        (Flags::MULTIPART, "parts"),
        (1 << 14, "no meaning"),
    ] {
        assert!(why(&member(flags, |_| ())).contains(words), "{words}");
    }
    let mut old = member(0, |_| ());
    old[9] = 9;
    assert!(why(&old).contains("version 0x0940") || why(&old).contains("sum"), "{}", why(&old));
    old[9] = 8;
    assert_eq!(why(&old), "its header is of version 0x0840, which is not read");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(tail in prop::collection::vec(any::<u8>(), 0..200), at in 0..100_usize, flags in any::<u32>()) {
        let mut bytes = USUAL.to_vec();
        let at = at.min(bytes.len() - 1);
        let end = (at + tail.len()).min(bytes.len());
        bytes.splice(at..end, tail.iter().copied());
        let _ = unpacked(&bytes);
        let _ = unpacked(&member(flags & !(Flags::FREE | Flags::EXTRA | Flags::FILTER | Flags::MULTIPART), |bytes| bytes.extend(&tail)));
    }
}
