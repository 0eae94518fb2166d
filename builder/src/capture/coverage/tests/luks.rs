//! Encrypted containers: open, closed, with what cannot come back, and with a key of the start.

use super::*;

fn container(change: impl FnOnce(&mut Luks)) -> Content {
    let mut luks = Luks::parse(include_str!("../../../../../layout/fixtures/stacks/luks2.dump")).unwrap();
    change(&mut luks);
    Content::Luks(luks)
}

/// A workstation with one more disk, whose only partition holds `content`.
fn with(content: Content) -> Host {
    workstation().gpt("vdb", &[(LINUX, content)])
}

#[test]
fn what_lies_in_an_open_container_is_captured() {
    let open = with(container(|_| ())).device("dm-0", "crypt", &["vdb1"]).holds("dm-0", ext("data", ""));
    let open = open.mounted("dm-0", "/srv", "ext4");
    let coverage = open.coverage(&[]);
    assert!(matches!(verdict(&coverage, "/srv"), Verdict::Captured { .. }), "{:?}", coverage.items);
    assert_eq!(coverage.uncovered().count(), 0, "the container itself needs no word of its own");
    assert!(crossed(&open.layout(), &coverage).contains(&PathBuf::from("/srv")));
    assert_eq!(coverage.disks(&open.layout()).len(), 2);
}

#[test]
fn a_closed_container_is_named_and_can_be_waived_by_its_uuid() {
    let closed = with(container(|_| ()));
    let (reason, system) = (uncovered(&closed.coverage(&[]), "/dev/vdb1").0.to_owned(), false);
    assert_eq!((reason.as_str(), system), ("the container was not open, so what it holds cannot be read", false));
    let waived = closed.coverage(&["UUID=22222222-2222-4222-8222-222222222222"]);
    assert_eq!(waived.uncovered().count(), 0, "{:?}", waived.items);
}

#[test]
fn a_container_that_cannot_be_made_again_covers_nothing_in_it() {
    let hindered = with(container(|luks| luks.hindrance = Some("its header could not be saved".into())));
    let hindered = hindered.device("dm-0", "crypt", &["vdb1"]).holds("dm-0", ext("data", ""));
    let coverage = hindered.mounted("dm-0", "/srv", "ext4").coverage(&[]);
    assert_eq!(uncovered(&coverage, "/srv").0, "it lies in the container /dev/dm-0: its header could not be saved");
}

#[test]
fn swap_with_a_key_of_the_start_comes_back_by_itself_and_is_not_descended_into() {
    let host = with(Content::Unknown).device("dm-0", "crypt", &["vdb1"]).mounted("dm-0", "/tmp", "ext4");
    let stacks = Stacks { volatile: ["/dev/dm-0".to_owned()].into(), ..Stacks::default() };
    let layout = assemble(&host.devices, &host.probes, &stacks, &mountinfo::parse(host.mounts.as_bytes()));
    let coverage = coverage(&layout, &[], None);
    assert!(matches!(verdict(&coverage, "/dev/dm-0"), Verdict::Captured { .. }), "{:?}", coverage.items);
    assert!(!crossed(&layout, &coverage).contains(&PathBuf::from("/tmp")));
}
