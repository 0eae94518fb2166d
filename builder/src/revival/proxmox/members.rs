//! Whether the cluster file system is there and can be written to.
//!
//! `/etc/pve/.members` is made by the file system itself: the folder below it has none, so to read it is to know that it is mounted. In a
//! cluster it says whether this node is among a majority; without one everything below `/etc/pve` is for reading only. Nothing is written
//! to find out, and a majority is never forced.

use std::path::Path;

use serde::Deserialize;

/// So much of the file as is needed here; releases add to it.
#[derive(Deserialize)]
struct Members {
    nodename: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    quorate: Option<u8>,
}

/// Looks once.
///
/// # Errors
/// What is missing.
pub fn look(pve: &Path, node: &str, clustered: bool) -> Result<(), String> {
    let path = pve.join(".members");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("the cluster file system is not mounted: reading {}: {error}", path.display()))?;
    judge(&text, node, clustered)?;
    let folder = pve.join("nodes").join(node);
    if folder.is_dir() { Ok(()) } else { Err(format!("there is no {}", folder.display())) }
}

fn judge(text: &str, node: &str, clustered: bool) -> Result<(), String> {
    let members: Members =
        serde_json::from_str(text).map_err(|error| format!("the list of the cluster's members: {error}"))?;
    if members.nodename != node {
        return Err(format!(
            "this machine is node {}, and the guests are those of node {node}: its host name must be {node}",
            members.nodename
        ));
    }
    match members.cluster {
        None if clustered => Err("this node belongs to a cluster and has not joined it yet".to_owned()),
        Some(cluster) if cluster.quorate != Some(1) => {
            Err("this node's cluster has no quorum: start other members; it is never forced from here".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_on_its_own_needs_its_name_only() {
        let alone = r#"{ "nodename": "pve1", "version": 0 }"#;
        assert_eq!(judge(alone, "pve1", false), Ok(()));
        assert!(judge(alone, "pve2", false).unwrap_err().contains("host name must be pve2"));
        assert!(judge(alone, "pve1", true).unwrap_err().contains("has not joined"));
        assert!(judge("", "pve1", false).is_err());
    }

    #[test]
    fn a_member_needs_a_majority() {
        let member = |quorate: &str| {
            format!(
                r#"{{"nodename":"pve1","version":3,"cluster":{{"name":"c","version":2,"nodes":2{quorate}}},"nodelist":{{}}}}"#
            )
        };
        for clustered in [false, true] {
            assert_eq!(judge(&member(r#","quorate":1"#), "pve1", clustered), Ok(()));
            assert!(judge(&member(r#","quorate":0"#), "pve1", clustered).unwrap_err().contains("no quorum"));
            assert!(judge(&member(""), "pve1", clustered).unwrap_err().contains("no quorum"));
        }
    }
}
