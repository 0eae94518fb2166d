//! Matching, case by case: which disk takes whose place, and when nobody may say so.

use super::*;
use crate::disk::Table;
use crate::graph::Kind;

fn disk(serial: Option<&str>, model: &str) -> Disk {
    Disk {
        model: model.to_owned(),
        serial: serial.map(str::to_owned),
        wwn: None,
        transport: Some("sata".to_owned()),
        logical_sector: 512,
        physical_sector: 512,
        removable: false,
        rotational: false,
        table: Table::None,
    }
}

fn recorded(disks: &[(Option<&str>, &str, u64)]) -> (Layout, Vec<NodeId>) {
    let nodes: Vec<Node> = disks
        .iter()
        .enumerate()
        .map(|(index, (serial, model, size))| Node {
            id: NodeId(format!("disk:{index}")),
            on: Vec::new(),
            path: format!("/dev/old{index}"),
            size: Bytes(*size),
            kind: Kind::Disk(disk(*serial, model)),
        })
        .collect();
    let ids = nodes.iter().map(|node| node.id.clone()).collect();
    (Layout { nodes, mounts: Vec::new() }, ids)
}

fn present(path: &str, serial: Option<&str>, model: &str, size: u64) -> Present {
    Present { path: path.to_owned(), size: Bytes(size), disk: disk(serial, model), holds: Vec::new(), barred: None }
}

fn run(
    old: &[(Option<&str>, &str, u64)],
    new: &[Present],
    choices: &[Choice],
) -> Result<Vec<(String, Why)>, MatchError> {
    let (layout, wanted) = recorded(old);
    let found = match_disks(&layout, &wanted, new, choices)?;
    assert_eq!(found.len(), old.len(), "every recorded disk has a place");
    Ok(found.into_iter().map(|one| (one.path, one.why)).collect())
}

fn named(target: &str, recorded: Option<&str>) -> Choice {
    Choice { target: target.to_owned(), recorded: recorded.map(str::to_owned) }
}

#[test]
fn serial_goes_before_size() {
    let new = [present("/dev/a", Some("B"), "m", 100), present("/dev/b", Some("A"), "m", 200)];
    let found = run(&[(Some("A"), "m", 100)], &new, &[]).unwrap();
    assert_eq!(found, [("/dev/b".to_owned(), Why::Serial)]);
}

#[test]
fn swapped_names_follow_the_serials() {
    let new = [present("/dev/a", Some("B"), "m", 100), present("/dev/b", Some("A"), "m", 100)];
    let found = run(&[(Some("A"), "m", 100), (Some("B"), "m", 100)], &new, &[]).unwrap();
    assert_eq!(found, [("/dev/b".to_owned(), Why::Serial), ("/dev/a".to_owned(), Why::Serial)]);
}

#[test]
fn a_new_disk_of_the_same_size_and_model_is_taken_when_it_is_the_only_one() {
    let new = [present("/dev/a", Some("X"), "m", 100), present("/dev/b", Some("Y"), "other", 100)];
    let found = run(&[(Some("A"), "m", 100)], &new, &[]).unwrap();
    assert_eq!(found, [("/dev/a".to_owned(), Why::SizeAndModel)]);
}

#[test]
fn two_disks_of_the_recorded_size_are_ambiguous() {
    let new = [present("/dev/a", Some("X"), "m", 100), present("/dev/b", Some("Y"), "m", 100)];
    let error = run(&[(Some("A"), "m", 100)], &new, &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("serial X") && text.contains("serial Y") && text.contains("Name the disk"), "{text}");
}

#[test]
fn two_larger_disks_are_ambiguous_even_when_only_one_is_blank() {
    let new = [present("/dev/a", Some("X"), "m", 300), present("/dev/b", Some("Y"), "m", 400)];
    let error = run(&[(Some("A"), "m", 100)], &new, &[]).unwrap_err();
    assert!(matches!(error, MatchError::Ambiguous { .. }), "{error}");
}

#[test]
fn the_only_ordinary_disk_is_taken_whatever_its_size() {
    let mut stick = present("/dev/a", Some("S"), "m", 100);
    stick.barred = Some(Barred::Stick);
    let mut key = present("/dev/c", Some("K"), "m", 100);
    key.disk.removable = true;
    let new = [stick, present("/dev/b", Some("Y"), "m", 300), key];
    let found = run(&[(Some("A"), "m", 100)], &new, &[]).unwrap();
    assert_eq!(found, [("/dev/b".to_owned(), Why::Only)]);
}

#[test]
fn the_stick_is_never_a_candidate_even_by_serial_or_by_name() {
    let mut stick = present("/dev/a", Some("A"), "m", 100);
    stick.barred = Some(Barred::Stick);
    let error = run(&[(Some("A"), "m", 100)], &[stick.clone()], &[]).unwrap_err();
    assert!(matches!(error, MatchError::NoCandidate { .. }), "{error}");
    let error = run(&[(Some("A"), "m", 100)], &[stick], &[named("A", None)]).unwrap_err();
    assert!(matches!(error, MatchError::Barred { why: Barred::Stick, .. }), "{error}");
}

#[test]
fn a_usb_disk_is_a_target_only_by_its_own_serial_or_by_name() {
    let mut usb = present("/dev/a", Some("U"), "m", 100);
    usb.disk.transport = Some("usb".to_owned());
    let error = run(&[(Some("A"), "m", 100)], std::slice::from_ref(&usb), &[]).unwrap_err();
    assert!(matches!(error, MatchError::NoCandidate { .. }), "{error}");
    let found = run(&[(Some("U"), "m", 100)], std::slice::from_ref(&usb), &[]).unwrap();
    assert_eq!(found[0].1, Why::Serial);
    let found = run(&[(Some("A"), "m", 100)], &[usb], &[named("U", None)]).unwrap();
    assert_eq!(found[0].1, Why::Named);
}

#[test]
fn an_order_maps_disks_against_their_serials() {
    let new = [present("/dev/a", Some("A"), "m", 100), present("/dev/b", Some("B"), "m", 100)];
    let choices = [named("B", Some("A")), named("A", Some("B"))];
    let found = run(&[(Some("A"), "m", 100), (Some("B"), "m", 100)], &new, &choices).unwrap();
    assert_eq!(found, [("/dev/b".to_owned(), Why::Named), ("/dev/a".to_owned(), Why::Named)]);
}

#[test]
fn an_order_never_spreads_to_disks_it_does_not_name() {
    let new = [present("/dev/a", Some("A"), "m", 100), present("/dev/b", Some("B"), "m", 200)];
    let old = [(Some("A"), "m", 100), (Some("B"), "m", 200)];
    let error = run(&old, &new, &[named("A", None)]).unwrap_err();
    assert!(matches!(error, MatchError::NoCandidate { .. }), "{error}");
}

#[test]
fn one_disk_cannot_take_two_places() {
    let new = [present("/dev/a", Some("A"), "m", 100)];
    let old = [(Some("A"), "m", 100), (Some("B"), "m", 200)];
    let choices = [named("A", Some("A")), named("A", Some("B"))];
    assert!(run(&old, &new, &choices).is_err());
}

#[test]
fn doubled_serials_are_refused() {
    let new = [present("/dev/a", Some("A"), "m", 100), present("/dev/b", Some("A"), "m", 100)];
    let error = run(&[(Some("A"), "m", 100)], &new, &[]).unwrap_err();
    assert!(matches!(error, MatchError::Doubled { .. }), "{error}");
    let error = run(&[(Some("Z"), "m", 100)], &new, &[named("A", None)]).unwrap_err();
    assert!(matches!(error, MatchError::Doubled { .. }), "{error}");
}

#[test]
fn a_recorded_disk_that_is_not_restored_is_no_place_for_another_unless_it_is_named() {
    let (mut layout, wanted) = recorded(&[(Some("A"), "m", 100), (Some("B"), "m", 100)]);
    let new = [present("/dev/b", Some("B"), "m", 100)];
    let spare = match_disks(&layout, &wanted[..1], &new, &[]).unwrap();
    assert_eq!(spare[0].path, "/dev/b", "a blank one may be taken");
    let held = Node { id: NodeId("fs".to_owned()), on: vec![wanted[1].clone()], ..layout.nodes[1].clone() };
    layout.nodes.push(held);
    let error = match_disks(&layout, &wanted[..1], &new, &[]).unwrap_err();
    assert!(matches!(error, MatchError::NoCandidate { .. }), "{error}");
    let found = match_disks(&layout, &wanted[..1], &new, &[named("B", None)]).unwrap();
    assert_eq!((found[0].path.as_str(), found[0].why), ("/dev/b", Why::Named));
}

#[test]
fn a_name_that_is_not_there_lists_what_is() {
    let new = [present("/dev/a", Some("A"), "m", 100)];
    let text = run(&[(Some("A"), "m", 100)], &new, &[named("Q", None)]).unwrap_err().to_string();
    assert!(text.contains("\"Q\"") && text.contains("serial A"), "{text}");
}

#[test]
fn an_empty_machine_says_so() {
    let text = run(&[(Some("A"), "m", 100)], &[], &[]).unwrap_err().to_string();
    assert!(text.contains("present: no disk"), "{text}");
}
