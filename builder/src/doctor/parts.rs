//! What a stick is made from: kernel, modules, firmware, tools, GRUB, the rescue program.

use std::path::Path;

use layout::Layout;
use layout::plan::required_tools;

use super::Finding;
use crate::stick::{self, Parts};

const TOOLS: &str = "tools";
const KERNEL: &str = "kernel";
const FIRMWARE: &str = "firmware";
const LOADER: &str = "boot loader";

/// Looks below `root`; `layout` is the host's storage, where it is known.
pub fn look(root: &Path, rescue: Option<&Path>, layout: Option<&Layout>) -> Vec<Finding> {
    let mut findings = tools(root, layout);
    let incomplete = !findings.is_empty();
    if !incomplete {
        findings.push(Finding::good(TOOLS, "every program that a restore of this host needs is installed"));
    }
    match stick::parts(root, rescue) {
        Ok(parts) => findings.extend(of_parts(&parts)),
        // The tool that is missing has been named.
        Err(_) if incomplete => {}
        Err(error) => findings.push(Finding::warning(KERNEL, format!("{error:#}"), "no stick can be made until then")),
    }
    findings
}

fn tools(root: &Path, layout: Option<&Layout>) -> Vec<Finding> {
    let wanted = layout.map(required_tools).unwrap_or_default();
    let always = stick::REQUIRED_TOOLS.iter().map(|(tool, package)| (*tool, format!("install {package}")));
    let known: Vec<&str> = stick::REQUIRED_TOOLS.iter().map(|(tool, _)| *tool).collect();
    let own = wanted.into_iter().filter(|tool| !known.contains(tool));
    let own = own.map(|tool| (tool, "install the package that has it".to_owned()));
    let missing = always.chain(own).filter(|(tool, _)| !stick::has_tool(root, tool));
    missing
        .map(|(tool, remedy)| {
            Finding::warning(
                TOOLS,
                format!("{tool} is missing; without it this host's storage cannot be made again"),
                remedy,
            )
        })
        .collect()
}

fn of_parts(parts: &Parts) -> Vec<Finding> {
    let mut findings = vec![Finding::good(KERNEL, format!("a stick carries the kernel {}", parts.kernel))];
    findings.extend(parts.notes.iter().map(|note| {
        Finding::warning(KERNEL, note.clone(), "install what is named, then `lifeboat create` or `lifeboat backup`")
    }));
    for firmware in &parts.firmware {
        let carried = firmware.carried.len();
        if carried > 0 {
            findings.push(Finding::good(FIRMWARE, format!("{}: {carried} files are carried", firmware.module)));
        }
        if !firmware.missing.is_empty() {
            // The host runs without them, and so will the rescue on this hardware.
            let what = format!(
                "{}: this host has no {}; its driver runs without here, a like card in another machine may not",
                firmware.module,
                firmware.missing.join(", ")
            );
            findings.push(Finding::note(FIRMWARE, what));
        }
    }
    findings.extend(
        parts.loaders.iter().map(|warning| Finding::warning(LOADER, warning.clone(), "then make the stick anew")),
    );
    if parts.loaders.is_empty() {
        findings.push(Finding::good(LOADER, "a stick starts under BIOS and UEFI"));
    }
    findings
}
