//! Secure Boot: whether the firmware will start what a stick made here carries.

use std::path::Path;

use super::Finding;
use crate::pe::{AUTHORITIES, Generation, Image, authorities, generations};
use crate::stick;

const AREA: &str = "Secure Boot";
const VARIABLES: &str = "sys/firmware/efi/efivars";
/// Vendors of the variables: the firmware's own, its signature databases, shim.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const DATABASES: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

/// What the firmware enforces.
struct Firmware {
    enforced: bool,
    /// The least generations that it starts.
    demanded: Vec<Generation>,
    /// The authorities that it trusts; empty where it does not say.
    trusted: Vec<&'static str>,
}

impl Firmware {
    /// None where it does not say whether it enforces anything.
    fn read(root: &Path) -> Option<Self> {
        let enforced = variable(root, "SecureBoot", GLOBAL)?.first() == Some(&1);
        let demanded = variable(root, "SbatLevelRT", SHIM).unwrap_or_default();
        let demanded = generations(&String::from_utf8_lossy(&demanded));
        let trusted = variable(root, "db", DATABASES).map(|db| authorities(&db)).unwrap_or_default();
        Some(Self { enforced, demanded, trusted })
    }
}

/// Looks at the firmware's variables below `root`, and at the boot loaders that a stick made now would carry.
pub fn look(root: &Path) -> Vec<Finding> {
    if !root.join("sys/firmware/efi").is_dir() {
        return vec![Finding::good(AREA, "this host starts by BIOS, which has none")];
    }
    let Some(firmware) = Firmware::read(root) else {
        return vec![Finding::note(AREA, "the firmware does not say whether it is enforced")];
    };
    let state = if firmware.enforced { "it is enforced" } else { "it is off" };
    let loaders = stick::signed_chain(root).ok().flatten().unwrap_or_default();
    let mut findings = vec![Finding::good(AREA, state)];
    findings.extend(judge(&firmware, "a stick made now", &loaders));
    findings
}

/// What the firmware will say to the loaders of the stick that was made.
pub fn of_stick(root: &Path, loaders: &[(String, Vec<u8>)]) -> Vec<Finding> {
    Firmware::read(root).map(|firmware| judge(&firmware, "the stick", loaders)).unwrap_or_default()
}

/// What firmware will say to the loaders of a stick.
fn judge(firmware: &Firmware, stick: &str, loaders: &[(String, Vec<u8>)]) -> Vec<Finding> {
    let Firmware { enforced, demanded, trusted } = firmware;
    let mut findings = Vec::new();
    let problem = |what: String| match enforced {
        true => Finding::warning(AREA, format!("{stick}: {what}"), stick::INSTALL_SIGNED),
        false => Finding::note(AREA, format!("{stick}: {what}; that matters once Secure Boot is enforced")),
    };
    if loaders.is_empty() {
        findings.push(problem("it has no signed boot loader, and firmware that enforces refuses it".into()));
    }
    for (name, content) in loaders {
        let Some(image) = Image::read(content).filter(|image| image.signed) else {
            findings.push(problem(format!("{name} is not signed, and firmware that enforces refuses it")));
            continue;
        };
        findings.extend(image.revoked(demanded).map(|(own, demand)| {
            problem(format!("{name} is revoked: {} {} where the firmware demands {demand}", own.component, own.number))
        }));
        let stranger = !trusted.is_empty() && !image.authorities.iter().any(|name| trusted.contains(name));
        if is_shim(name) && stranger {
            let signers =
                if image.authorities.is_empty() { "nobody known".into() } else { image.authorities.join(", ") };
            findings
                .push(problem(format!("{name} is signed by {signers}; this firmware trusts {}", trusted.join(", "))));
        }
        if is_shim(name) && image.authorities == [AUTHORITIES[0]] {
            let what = format!(
                "{stick}: {name} is signed by {} only: machines that trust only its successor of 2023 refuse the stick",
                AUTHORITIES[0]
            );
            findings.push(Finding::note(AREA, what));
        }
    }
    findings
}

/// The first one: firmware checks it against its own database, and it checks the others against its own certificate.
fn is_shim(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("bootx64.efi")
}

/// A variable without the four bytes of attributes that efivarfs puts in front.
fn variable(root: &Path, name: &str, vendor: &str) -> Option<Vec<u8>> {
    let bytes = std::fs::read(root.join(VARIABLES).join(format!("{name}-{vendor}"))).ok()?;
    Some(bytes.get(4..)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn firmware(enforced: bool, demanded: &str, trusted: &[&'static str]) -> Firmware {
        Firmware { enforced, demanded: generations(demanded), trusted: trusted.to_vec() }
    }

    /// Debian's own GRUB with something in its certificate table that names an authority, as a signature does.
    fn signed(name: &str, authority: &str) -> Vec<(String, Vec<u8>)> {
        let mut image = std::fs::read("/usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi").unwrap();
        let header = u32::from_le_bytes(image[0x3c..0x40].try_into().unwrap()) as usize;
        let (start, size) = (image.len() as u32, authority.len() as u32);
        image[header + 168..header + 172].copy_from_slice(&start.to_le_bytes());
        image[header + 172..header + 176].copy_from_slice(&size.to_le_bytes());
        image.extend(authority.as_bytes());
        vec![(name.to_owned(), image)]
    }

    fn worst(findings: &[Finding]) -> Option<Level> {
        findings.iter().map(|finding| finding.level).max()
    }

    #[test]
    fn an_unsigned_stick_is_a_warning_where_it_is_enforced_and_a_note_where_not() {
        let unsigned = signed("EFI/BOOT/BOOTX64.EFI", "");
        for loaders in [&[][..], &unsigned] {
            assert_eq!(worst(&judge(&firmware(true, "", &[]), "s", loaders)), Some(Level::Warning));
            assert_eq!(worst(&judge(&firmware(false, "", &[]), "s", loaders)), Some(Level::Note));
        }
    }

    #[test]
    fn a_loader_below_the_demanded_generation_is_named() {
        let grub = signed("EFI/BOOT/grubx64.efi", "Debian");
        assert_eq!(worst(&judge(&firmware(true, "sbat,1,x\ngrub,1\n", &[]), "s", &grub)), None);
        let findings = judge(&firmware(true, "sbat,1,x\ngrub,99\n", &[]), "s", &grub);
        assert_eq!(worst(&findings), Some(Level::Warning));
        assert!(findings[0].what.contains("grub") && findings[0].what.contains("99"), "{findings:?}");
    }

    #[test]
    fn a_shim_is_held_against_whom_the_firmware_trusts() {
        let shim = signed("EFI/BOOT/BOOTX64.EFI", AUTHORITIES[0]);
        let findings = judge(&firmware(true, "", &[AUTHORITIES[1]]), "s", &shim);
        assert!(findings[0].what.contains("this firmware trusts Microsoft UEFI CA 2023"), "{findings:?}");
        let findings = judge(&firmware(true, "", &AUTHORITIES), "s", &shim);
        assert_eq!(worst(&findings), Some(Level::Note), "machines without the authority of 2011: {findings:?}");
        let new = signed("EFI/BOOT/BOOTX64.EFI", AUTHORITIES[1]);
        assert_eq!(worst(&judge(&firmware(true, "", &AUTHORITIES), "s", &new)), None);
    }

    #[test]
    fn the_state_is_read_from_the_firmware_s_variables() {
        let root = tempfile::tempdir().unwrap();
        assert!(look(root.path())[0].what.contains("BIOS"));
        let folder = root.path().join(VARIABLES);
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(look(root.path())[0].level, Level::Note);
        std::fs::write(folder.join(format!("SecureBoot-{GLOBAL}")), [6, 0, 0, 0, 1]).unwrap();
        let findings = look(root.path());
        assert_eq!((findings[0].what.as_str(), worst(&findings)), ("it is enforced", Some(Level::Warning)));
    }
}
