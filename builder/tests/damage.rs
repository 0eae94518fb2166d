//! The damage matrix: whatever happens to whichever file of a vault, `lifeboat verify` finds it and names the file, nothing wrong
//! is ever restored, and everything that is sound still is.
//!
//! One test for each kind of object; in each, every action of `action.rs`, a copy under another name, and two files that have
//! changed places.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

#[path = "damage/action.rs"]
mod action;
#[path = "damage/lab.rs"]
mod lab;
mod lasting;
#[path = "damage/signed.rs"]
mod signed;

use std::fs;

use action::{ALL, Action, copy_aside, swap};
use lab::{Expected, HOST, Lab, Left, base};
use serde_json::Value;

const DAMAGED: i32 = 21;
const REFUSED: i32 = 20;
const WHOLE: (Left, i32) = (Left::All, 0);
const PARTLY: (Left, i32) = (Left::Some, DAMAGED);
const LOST: (Left, i32) = (Left::Nothing, DAMAGED);
const UNSIGNED: (Left, i32) = (Left::Nothing, REFUSED);

/// The manifest of a snapshot, as JSON.
fn manifest(serial: u64) -> Value {
    serde_json::from_slice(&fs::read(base().object(&manifest_name(serial))).unwrap()).unwrap()
}

fn manifest_name(serial: u64) -> String {
    format!("manifests/{HOST}/{serial}.json")
}

fn catalogue_name(serial: u64) -> String {
    format!("catalogues/{HOST}/{serial}")
}

/// The key of the run that made a snapshot.
fn key_name(serial: u64) -> String {
    format!("keys/{}.age", manifest(serial)["contents"]["catalogue"]["run"].as_str().unwrap())
}

/// Segments that the run of a snapshot wrote, the largest first.
fn segments_of(serial: u64) -> Vec<String> {
    let contents = &manifest(serial)["contents"];
    let mut found: Vec<(u64, &str)> = contents["segments"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|segment| segment["run"] == contents["catalogue"]["run"])
        .map(|segment| (segment["size"].as_u64().unwrap(), segment["sha256"].as_str().unwrap()))
        .collect();
    found.sort();
    found.iter().rev().map(|(_, sha256)| format!("segments/{}/{sha256}", &sha256[..2])).collect()
}

/// What a fault of `object` must show; `left` is what is left of the two snapshots.
fn fault(verify: i32, object: &str, left: [(Left, i32); 2]) -> Expected {
    Expected { verify, named: vec![object.to_owned()], left }
}

/// Every action on one object.
fn every_action_on(object: &str, expected: &Expected) {
    for action in ALL {
        let lab = Lab::cell();
        action.apply(&lab.object(object));
        lab.check(&format!("{action:?} {object}"), expected);
    }
}

/// A copy of an object where nothing looks for it: it is pointed out, and takes nothing away.
fn a_copy_is_a_stray(object: &str, name: &str) {
    let lab = Lab::cell();
    copy_aside(&lab.object(object), &lab.object(name));
    lab.check(&format!("copy {object}"), &Expected { verify: 0, named: vec![name.into()], left: [WHOLE, WHOLE] });
}

fn swapped(one: &str, other: &str, verify: i32, left: [(Left, i32); 2]) {
    let lab = Lab::cell();
    swap(&lab.object(one), &lab.object(other));
    lab.check(&format!("swap {one} {other}"), &Expected { verify, named: vec![one.into(), other.into()], left });
}

#[test]
fn an_undamaged_vault_shows_nothing() {
    let lab = Lab::cell();
    lab.check("nothing", &Expected { verify: 0, named: Vec::new(), left: [WHOLE, WHOLE] });
}

#[test]
fn damage_to_vault_json_is_named_and_costs_nothing() {
    for action in ALL {
        let lab = Lab::cell();
        action.apply(&lab.object("vault.json"));
        // What can still be read is refused for its signature, anything else for itself.
        let code = lab.run(&["verify", "--vault", "vault"]).status.code().unwrap();
        assert!([REFUSED, DAMAGED].contains(&code), "{action:?} vault.json: {code}");
        lab.check(&format!("{action:?} vault.json"), &fault(code, "vault.json", [(Left::All, code); 2]));
    }
    // That of another vault is sound in itself.
    let lab = Lab::cell();
    assert!(lab.run(&["init", "--vault", "other", "--identity", "id2.txt", "--yes"]).status.success());
    swap(&lab.object("vault.json"), &lab.path("other/vault.json"));
    lab.check("swap vault.json", &fault(REFUSED, "vault.json", [(Left::All, REFUSED); 2]));
}

#[test]
fn damage_to_a_key_is_named_and_costs_what_its_run_sealed() {
    let (first, second) = (key_name(1), key_name(2));
    // Of the second snapshot, what is new in it is left.
    every_action_on(&first, &fault(DAMAGED, &first, [LOST, PARTLY]));
    every_action_on(&second, &fault(DAMAGED, &second, [WHOLE, LOST]));
    swapped(&first, &second, DAMAGED, [LOST, LOST]);
    a_copy_is_a_stray(&first, "keys/00112233445566778899aabbccddeeff.age");
}

#[test]
fn damage_to_a_segment_is_named_and_costs_the_entries_in_it() {
    let (old, new) = (segments_of(1), segments_of(2));
    every_action_on(&old[0], &fault(DAMAGED, &old[0], [PARTLY, PARTLY]));
    every_action_on(&new[0], &fault(DAMAGED, &new[0], [WHOLE, PARTLY]));
    swapped(&old[0], &new[0], DAMAGED, [PARTLY, PARTLY]);
    let name = format!("segments/00/{}", "00".repeat(32));
    a_copy_is_a_stray(&old[0], &name);
}

#[test]
fn damage_to_a_catalogue_is_named_and_costs_its_snapshot_alone() {
    let (first, second) = (catalogue_name(1), catalogue_name(2));
    every_action_on(&first, &fault(DAMAGED, &first, [LOST, WHOLE]));
    every_action_on(&second, &fault(DAMAGED, &second, [WHOLE, LOST]));
    swapped(&first, &second, DAMAGED, [LOST, LOST]);
    a_copy_is_a_stray(&first, &catalogue_name(7));
}

#[test]
fn a_damaged_manifest_is_refused_by_name_and_the_other_one_serves() {
    let (first, second) = (manifest_name(1), manifest_name(2));
    for action in ALL.into_iter().filter(|action| *action != Action::Delete) {
        for (object, left) in [(&first, [UNSIGNED, WHOLE]), (&second, [WHOLE, UNSIGNED])] {
            let lab = Lab::cell();
            action.apply(&lab.object(object));
            lab.check(&format!("{action:?} {object}"), &fault(REFUSED, object, left));
        }
    }
    swapped(&first, &second, REFUSED, [UNSIGNED, UNSIGNED]);
}

/// A snapshot without a manifest is no snapshot; what shows the loss is its signature, and for the newest the host's memory.
#[test]
fn a_manifest_that_is_gone_is_missed() {
    for (serial, verify, left) in [(1, DAMAGED, [(Left::Nothing, 10), WHOLE]), (2, 22, [WHOLE, (Left::Nothing, 10)])] {
        let lab = Lab::cell();
        fs::remove_file(lab.object(&manifest_name(serial))).unwrap();
        lab.check(&format!("delete manifest {serial}"), &fault(verify, &manifest_name(1), left));
    }
}

#[test]
fn a_damaged_signature_is_refused_by_name_and_the_other_snapshot_serves() {
    let (first, second) = (manifest_name(1), manifest_name(2));
    let signature = |manifest: &str| format!("{manifest}.sig");
    for action in ALL {
        for (object, left) in [(&first, [UNSIGNED, WHOLE]), (&second, [WHOLE, UNSIGNED])] {
            let lab = Lab::cell();
            action.apply(&lab.object(&signature(object)));
            lab.check(&format!("{action:?} {object}.sig"), &fault(REFUSED, object, left));
        }
    }
    let lab = Lab::cell();
    swap(&lab.object(&signature(&first)), &lab.object(&signature(&second)));
    let named = vec![first.clone(), second];
    lab.check("swap signatures", &Expected { verify: REFUSED, named, left: [UNSIGNED, UNSIGNED] });
    a_copy_is_a_stray(&signature(&first), &signature(&manifest_name(7)));
}

/// Copied or moved with its signature, a manifest is genuine and yet not the one that belongs there.
#[test]
fn a_manifest_with_its_signature_in_another_place_is_refused() {
    let (first, second) = (manifest_name(1), manifest_name(2));
    let signature = |manifest: &str| format!("{manifest}.sig");
    let copy = manifest_name(7);
    let lab = Lab::cell();
    copy_aside(&lab.object(&first), &lab.object(&copy));
    lab.check("copy manifest", &fault(REFUSED, &copy, [WHOLE, WHOLE]));
    copy_aside(&lab.object(&signature(&first)), &lab.object(&signature(&copy)));
    lab.check("copy manifest and signature", &fault(DAMAGED, &copy, [WHOLE, WHOLE]));
    let lab = Lab::cell();
    swap(&lab.object(&first), &lab.object(&second));
    swap(&lab.object(&signature(&first)), &lab.object(&signature(&second)));
    let named = vec![first, second];
    lab.check("swap manifests and signatures", &Expected { verify: DAMAGED, named, left: [LOST, LOST] });
}
