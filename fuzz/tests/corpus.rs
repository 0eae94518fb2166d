//! Every target over its corpus, and over mutations of it: what libFuzzer does for hours with `make fuzz`, in seconds.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::fs;
use std::path::Path;

use fuzz::TARGETS;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Mutated inputs for each target.
const CASES: u32 = 3000;

/// The committed inputs of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Bytes that a failure shows as text.
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// One change to some bytes; places are fractions of the length.
#[derive(Clone, Debug)]
enum Mutation {
    Set(f64, u8),
    Flip(f64, u8),
    Cut(f64, f64),
    Insert(f64, Vec<u8>),
    /// Copies a stretch to another place.
    Splice(f64, f64, usize),
    /// Puts another number where digits stand.
    Number(f64, u64),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = 0.0..1.0;
    let number = prop_oneof![Just(0), Just(u64::MAX), Just(i64::MAX as u64), Just(u64::from(u32::MAX)), any::<u64>()];
    let odd = prop_oneof![Just(b"\"".to_vec()), Just(b"%".to_vec()), Just(b"\n".to_vec()), Just(b"..".to_vec())];
    prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (place.clone(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (place.clone(), place.clone()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        (place.clone(), prop_oneof![odd, prop::collection::vec(any::<u8>(), 1..8)])
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (place.clone(), place.clone(), 1..64_usize).prop_map(|(from, to, len)| Mutation::Splice(from, to, len)),
        (place, number).prop_map(|(at, number)| Mutation::Number(at, number)),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let place = |at: f64| ((at * len as f64) as usize).min(len.saturating_sub(1));
        match self {
            _ if len == 0 => {}
            Mutation::Set(at, byte) => bytes[place(*at)] = *byte,
            Mutation::Flip(at, bit) => bytes[place(*at)] ^= 1 << bit,
            Mutation::Cut(from, to) => drop(bytes.drain(place(from.min(*to))..place(from.max(*to)))),
            Mutation::Insert(at, new) => drop(bytes.splice(place(*at)..place(*at), new.iter().copied())),
            Mutation::Splice(from, to, count) => {
                let from = place(*from);
                let stretch = bytes[from..(from + count).min(len)].to_vec();
                bytes.splice(place(*to)..place(*to), stretch);
            }
            Mutation::Number(at, number) => {
                let digit = |byte: &u8| byte.is_ascii_digit();
                let Some(start) = bytes[place(*at)..].iter().position(digit).map(|n| n + place(*at)) else { return };
                let end = bytes[start..].iter().position(|byte| !digit(byte)).map_or(len, |n| n + start);
                bytes.splice(start..end, number.to_string().into_bytes());
            }
        }
    }
}

#[test]
fn every_target_takes_its_corpus() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs.iter().for_each(|input| target(input));
        target(b"");
    }
}

#[test]
fn every_target_takes_mutations_of_its_corpus() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        let mutated = (0..inputs.len(), prop::collection::vec(mutation(), 1..6)).prop_map(move |(at, changes)| {
            let mut bytes = inputs[at].clone();
            changes.iter().for_each(|change| change.apply(&mut bytes));
            Input(bytes)
        });
        let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let judged = runner.run(&mutated, |input| {
            target(&input.0);
            Ok(())
        });
        judged.unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}
