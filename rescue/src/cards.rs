//! Network cards: which card of this machine takes the place of which recorded one. Known again by its address, else by its slot, else in order.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use manifest::host::{Interface, Network};
use serde::Serialize;

use crate::kernel::sysfs;

/// A card that is here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// Where it is: `0000:00:03.0`.
    pub bus: String,
    /// Its hardware address, in lower case.
    pub mac: String,
}

/// A recorded card and the one that takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heir {
    /// The interface's name, which stays.
    pub name: String,
    /// The address that it had, in lower case.
    pub old: String,
    /// The address that it has now.
    pub new: String,
}

/// What becomes of the recorded cards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cards {
    /// Those that another card takes the place of.
    pub heirs: Vec<Heir>,
    /// Names and addresses of those that none does.
    pub missing: Vec<(String, String)>,
}

impl Cards {
    /// The recorded cards against those of this machine. Cards without a driver on the stick are not seen.
    pub fn of(network: &Network) -> Self {
        Self::match_up(network, present(Path::new("/sys/class/net")))
    }

    fn match_up(network: &Network, mut here: Vec<Card>) -> Self {
        let address = |interface: &Interface| interface.permanent_mac.clone().or(interface.mac.clone());
        let recorded = network.interfaces.iter().filter(|interface| interface.kind == "physical");
        let mut recorded: Vec<(&Interface, String)> =
            recorded.filter_map(|interface| Some((interface, address(interface)?.to_lowercase()))).collect();
        let known: BTreeSet<String> = here.iter().map(|card| card.mac.clone()).collect();
        here.retain(|card| !recorded.iter().any(|(_, mac)| *mac == card.mac));
        recorded.retain(|(_, mac)| !known.contains(mac));
        let mut cards = Self::default();
        // The same slot on the same kind of board.
        recorded.retain(|(interface, mac)| {
            let Some(at) = here.iter().position(|card| interface.bus.as_deref() == Some(card.bus.as_str())) else {
                return true;
            };
            cards.heirs.push(Heir { name: interface.name.clone(), old: mac.clone(), new: here.remove(at).mac });
            false
        });
        // In order only where none is left over: one too many or too few, and the wrong cable would get the address.
        if recorded.len() == here.len() {
            here.sort_unstable();
            recorded.sort_unstable_by_key(|(interface, _)| (interface.bus.clone(), interface.name.clone()));
            let pairs = recorded.drain(..).zip(here);
            cards.heirs.extend(pairs.map(|((interface, old), card)| Heir {
                name: interface.name.clone(),
                old,
                new: card.mac,
            }));
        }
        cards.missing.extend(recorded.into_iter().map(|(interface, mac)| (interface.name.clone(), mac)));
        cards
    }

    /// What the plan says of them.
    pub fn lines(&self) -> Vec<String> {
        let heirs = self.heirs.iter();
        let heirs = heirs.map(|heir| {
            format!("network interface {}: the card {} takes the place of {}", heir.name, heir.new, heir.old)
        });
        let missing = self.missing.iter().map(|(name, mac)| {
            format!(
                "network interface {name} had the address {mac}, which no card here has, and it cannot be told which one takes its \
                 place (cards without a driver on this stick are not seen): its name or its configuration may have to change"
            )
        });
        heirs.chain(missing).collect()
    }
}

/// The cards below `folder`, a `/sys/class/net`.
fn present(folder: &Path) -> Vec<Card> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let card = |path: std::path::PathBuf| {
        let bus = fs::read_link(path.join("device")).ok()?;
        // 1: Ethernet.
        (sysfs(path.join("type"))? == "1").then_some(())?;
        let mut bus = bus.file_name()?.to_string_lossy().into_owned();
        // A virtio card's device lies below the one in the slot.
        if bus.starts_with("virtio") {
            let above = fs::canonicalize(path.join("device")).ok()?;
            bus = above.parent()?.file_name()?.to_string_lossy().into_owned();
        }
        Some(Card { bus, mac: sysfs(path.join("address"))?.to_lowercase() })
    };
    entries.filter_map(card).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, mac: &str, bus: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            mac: Some(mac.to_owned()),
            permanent_mac: None,
            driver: Some("e1000e".to_owned()),
            bus: Some(bus.to_owned()),
            kind: "physical".to_owned(),
            master: None,
            mtu: 1500,
            up: true,
            addresses: Vec::new(),
        }
    }

    fn card(bus: &str, mac: &str) -> Card {
        Card { bus: bus.to_owned(), mac: mac.to_owned() }
    }

    fn matched(recorded: &[(&str, &str, &str)], here: &[(&str, &str)]) -> Cards {
        let interfaces = recorded.iter().map(|(name, mac, bus)| interface(name, mac, bus)).collect();
        let network = Network { interfaces, ..Network::default() };
        Cards::match_up(&network, here.iter().map(|(bus, mac)| card(bus, mac)).collect())
    }

    #[test]
    fn the_same_card_needs_nothing_even_in_another_slot() {
        assert_eq!(matched(&[("eno1", "02:AA", "1")], &[("2", "02:aa")]), Cards::default());
    }

    #[test]
    fn a_new_card_takes_the_place_of_the_one_in_its_slot_and_the_rest_follow_in_order() {
        let cards = matched(
            &[("eno1", "02:01", "1"), ("eno2", "02:02", "2"), ("x", "02:03", "9")],
            &[("5", "02:f5"), ("2", "02:f2"), ("4", "02:f4")],
        );
        let heirs: Vec<(&str, &str)> = cards.heirs.iter().map(|heir| (heir.name.as_str(), heir.new.as_str())).collect();
        assert_eq!(heirs, [("eno2", "02:f2"), ("eno1", "02:f4"), ("x", "02:f5")]);
        assert!(cards.missing.is_empty());
    }

    #[test]
    fn nothing_is_guessed_where_the_numbers_differ() {
        for here in [&[("5", "02:f5"), ("6", "02:f6")][..], &[]] {
            let cards = matched(&[("eno1", "02:01", "1")], here);
            assert_eq!(cards.missing, [("eno1".to_owned(), "02:01".to_owned())]);
            assert!(cards.heirs.is_empty() && cards.lines()[0].contains("eno1"));
        }
    }
}
