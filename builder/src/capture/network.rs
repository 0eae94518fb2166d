//! The network as it is in effect: interfaces from sysfs, addresses and routes from `ip`, names from resolv.conf.

use std::collections::BTreeMap;

use exec::Command;
use manifest::host::{Gap, Interface, Network, Route};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::gap;
use super::source::Source;

const FOLDER: &str = "/sys/class/net";

/// Reads the network's state.
pub(super) fn state(source: &Source, gaps: &mut Vec<Gap>) -> Network {
    let links: Vec<Link> = ask(source, &["-details", "address", "show"], gaps);
    let mut routes: Vec<Hop> = ask(source, &["-4", "route", "show"], gaps);
    routes.extend(ask::<Hop>(source, &["-6", "route", "show"], gaps));
    let links: BTreeMap<String, Link> = links.into_iter().map(|link| (link.ifname.clone(), link)).collect();
    let names = source.names(FOLDER);
    let (nameservers, search) = resolv_conf(&source.text("/etc/resolv.conf").unwrap_or_default());
    Network {
        interfaces: names
            .iter()
            .filter(|name| *name != "lo")
            .filter_map(|name| interface(source, name, links.get(name)))
            .collect(),
        routes: routes.into_iter().map(Hop::route).collect(),
        nameservers,
        search,
    }
}

/// Runs `ip` for JSON.
fn ask<T: DeserializeOwned>(source: &Source, arguments: &[&str], gaps: &mut Vec<Gap>) -> Vec<T> {
    if !source.is_live() {
        return Vec::new();
    }
    let text = Command::new("ip").arg("-json").args(arguments).read();
    let parsed = text.map_err(anyhow::Error::from).and_then(|text| parse(&text));
    parsed.unwrap_or_else(|error| {
        gaps.push(gap(format!("ip {}", arguments.join(" ")), format!("{error:#}")));
        Vec::new()
    })
}

/// `ip -json` prints nothing at all where there is nothing, and empty objects for what a filter took out.
fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<Vec<T>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let values: Vec<serde_json::Value> = serde_json::from_str(text)?;
    let full = values.into_iter().filter(|value| value.as_object().is_some_and(|object| !object.is_empty()));
    Ok(full.map(serde_json::from_value).collect::<Result<_, _>>()?)
}

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    permaddr: Option<String>,
    #[serde(default)]
    linkinfo: Option<LinkInfo>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct LinkInfo {
    #[serde(default)]
    info_kind: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    local: Option<String>,
    #[serde(default)]
    prefixlen: u8,
}

#[derive(Deserialize)]
struct Hop {
    dst: String,
    #[serde(default)]
    gateway: Option<String>,
    #[serde(default)]
    dev: Option<String>,
    #[serde(default)]
    metric: Option<u32>,
}

impl Hop {
    fn route(self) -> Route {
        Route { to: self.dst, via: self.gateway, dev: self.dev, metric: self.metric }
    }
}

fn interface(source: &Source, name: &str, link: Option<&Link>) -> Option<Interface> {
    let folder = format!("{FOLDER}/{name}");
    // bonding_masters and the like are files between the interfaces.
    source.text(format!("{folder}/ifindex"))?;
    let physical = source.exists(format!("{folder}/device"));
    let software = link.and_then(|link| link.linkinfo.as_ref()?.info_kind.clone());
    let flags = source.text(format!("{folder}/flags")).unwrap_or_default();
    let addresses = link.into_iter().flat_map(|link| &link.addr_info);
    let addresses = addresses.filter_map(|address| Some(format!("{}/{}", address.local.as_ref()?, address.prefixlen)));
    Some(Interface {
        mac: source.text(format!("{folder}/address")),
        permanent_mac: link.and_then(|link| link.permaddr.clone()),
        driver: source.link_name(format!("{folder}/device/driver")),
        bus: source.link_name(format!("{folder}/device")),
        kind: if physical { "physical".into() } else { software.unwrap_or_else(|| "virtual".into()) },
        master: source.link_name(format!("{folder}/master")),
        mtu: source.number(format!("{folder}/mtu")).and_then(|mtu| u32::try_from(mtu).ok()).unwrap_or(0),
        // IFF_UP.
        up: u32::from_str_radix(flags.trim_start_matches("0x"), 16).is_ok_and(|flags| flags & 1 != 0),
        addresses: addresses.collect(),
        name: name.to_owned(),
    })
}

/// Name servers and search domains.
fn resolv_conf(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().map(str::to_owned)),
            // The last line of this kind counts.
            Some("search" | "domain") => search = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    (servers, search)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_addresses_and_routes_are_read() {
        let links: Vec<Link> = parse(include_str!("../../fixtures/ip-address.json")).unwrap();
        let by_name = |name: &str| links.iter().find(|link| link.ifname == name).unwrap();
        let bridge = by_name("br0");
        assert_eq!(bridge.linkinfo.as_ref().unwrap().info_kind.as_deref(), Some("bridge"));
        let addresses: Vec<String> =
            bridge.addr_info.iter().map(|a| format!("{}/{}", a.local.as_deref().unwrap(), a.prefixlen)).collect();
        assert!(addresses.contains(&"192.0.2.5/24".to_owned()) && addresses.contains(&"2001:db8::5/64".to_owned()));
        let routes: Vec<Hop> = parse(include_str!("../../fixtures/ip-route.json")).unwrap();
        let default = routes.into_iter().map(Hop::route).find(|route| route.to == "default").unwrap();
        assert_eq!(
            (default.via.as_deref(), default.dev.as_deref(), default.metric),
            (Some("192.0.2.1"), Some("br0"), Some(100))
        );
    }

    #[test]
    fn nothing_and_empty_objects_are_no_links() {
        assert!(parse::<Link>("").unwrap().is_empty());
        assert!(parse::<Link>("[{},{}]").unwrap().is_empty());
        assert!(parse::<Link>("Error").is_err());
    }

    #[test]
    fn the_last_search_line_counts() {
        let (servers, search) =
            resolv_conf("# x\nnameserver 192.0.2.1\nsearch a b\nnameserver ::1\nsearch example.org\n");
        assert_eq!((servers, search), (vec!["192.0.2.1".to_owned(), "::1".to_owned()], vec!["example.org".to_owned()]));
    }
}
