//! What Secure Boot sees in a boot loader: its SBAT generations and the authorities that signed it.
//!
//! A PE image (Microsoft's PE format) has its header at the offset in 0x3c; SBAT (shim's SBAT.md) is a section `.sbat` of lines
//! `component,generation,...`; signatures lie in the certificate table, data directory 4. The firmware checks them; here they are only
//! read, to say beforehand what it will find.

/// The authorities that sign boot loaders for PCs, by the name in their certificates.
pub const AUTHORITIES: [&str; 2] = ["Microsoft Corporation UEFI CA 2011", "Microsoft UEFI CA 2023"];

/// The generation of one component, as images state it and as firmware demands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// `shim`, `grub`, `grub.debian`.
    pub component: String,
    /// Its generation.
    pub number: u32,
}

/// A boot loader as Secure Boot sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Its SBAT generations.
    pub sbat: Vec<Generation>,
    /// It carries a signature at all.
    pub signed: bool,
    /// Those of [`AUTHORITIES`] whose certificates its signatures name.
    pub authorities: Vec<&'static str>,
}

impl Image {
    /// Reads an image; none where it is no PE image of 64 bits.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header = long(bytes, 0x3c)?;
        if bytes.get(header..header + 4)? != b"PE\0\0" || word(bytes, header + 24)? != 0x20b {
            return None;
        }
        let sections = header + 24 + word(bytes, header + 20)?;
        let count = word(bytes, header + 6)?;
        let section = |number: usize| {
            let entry = bytes.get(sections + 40 * number..sections + 40 * (number + 1))?;
            let (size, raw, start) = (long(entry, 8)?, long(entry, 16)?, long(entry, 20)?);
            entry.starts_with(b".sbat\0\0\0").then(|| bytes.get(start..start + size.min(raw)))?
        };
        let sbat = (0..count).find_map(section).unwrap_or_default();
        let (table, size) = (long(bytes, header + 24 + 144)?, long(bytes, header + 24 + 148)?);
        let signatures = bytes.get(table..table + size).unwrap_or_default();
        Some(Self {
            sbat: generations(&String::from_utf8_lossy(sbat)),
            signed: !signatures.is_empty(),
            authorities: authorities(signatures),
        })
    }

    /// Components that are older than the firmware demands: it refuses the image.
    pub fn revoked<'a>(&'a self, demanded: &'a [Generation]) -> impl Iterator<Item = (&'a Generation, u32)> {
        self.sbat.iter().filter_map(|own| {
            let demand = demanded.iter().find(|demand| demand.component == own.component)?;
            (own.number < demand.number).then_some((own, demand.number))
        })
    }
}

/// Those of [`AUTHORITIES`] that signatures, or a firmware's `db`, name.
pub fn authorities(bytes: &[u8]) -> Vec<&'static str> {
    let named = |name: &&&str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    AUTHORITIES.iter().filter(named).copied().collect()
}

/// SBAT lines; what is no such line is passed over.
pub fn generations(text: &str) -> Vec<Generation> {
    let line = |line: &str| {
        let mut fields = line.split(',');
        let (component, number) = (fields.next()?.trim(), fields.next()?.trim().parse().ok()?);
        Some(Generation { component: component.to_owned(), number })
    };
    text.trim_end_matches('\0').lines().filter_map(line).collect()
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let pair: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_le_bytes(pair)))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Debian's own build of GRUB, before it is signed.
    fn grub() -> Vec<u8> {
        std::fs::read("/usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi").unwrap()
    }

    #[test]
    fn a_real_grub_states_its_generations_and_is_not_signed() {
        let image = Image::read(&grub()).unwrap();
        let number = |name: &str| image.sbat.iter().find(|one| one.component == name).unwrap().number;
        assert!(number("sbat") == 1 && number("grub") >= 3 && number("grub.debian") >= 1, "{image:?}");
        assert!(!image.signed && image.authorities.is_empty());
    }

    #[test]
    fn an_image_older_than_the_firmware_demands_is_revoked() {
        let image = Image { sbat: generations("sbat,1,x\nshim,2,UEFI shim\nshim.debian,1\n"), ..Image::default() };
        let demanded = generations("sbat,1,2023012900\nshim,3\ngrub,3\n");
        let revoked: Vec<_> = image.revoked(&demanded).map(|(own, demand)| (own.component.as_str(), demand)).collect();
        assert_eq!(revoked, [("shim", 3)]);
        assert_eq!(image.revoked(&generations("sbat,1,x\nshim,2\n")).count(), 0);
    }

    #[test]
    fn the_firmware_of_machines_for_tests_trusts_the_authority_of_2011() {
        let store = std::fs::read("/usr/share/OVMF/OVMF_VARS_4M.ms.fd").unwrap();
        assert!(authorities(&store).contains(&AUTHORITIES[0]));
        assert!(authorities(&std::fs::read("/usr/share/OVMF/OVMF_VARS_4M.fd").unwrap()).is_empty());
    }

    #[test]
    fn what_is_cut_is_no_image_and_no_panic() {
        let grub = grub();
        for length in (0..2000).chain([grub.len() / 2]) {
            let _ = Image::read(&grub[..length]);
        }
        assert_eq!(Image::read(b"MZ"), None);
    }
}
