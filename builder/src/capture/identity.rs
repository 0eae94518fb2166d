//! Which machine and which system this is.

use manifest::host::{Dmi, Gap, Identity, OsRelease};

use super::gap;
use super::source::Source;

pub(super) fn identity(source: &Source, gaps: &mut Vec<Gap>) -> Identity {
    let dmi = dmi(source);
    if dmi.is_none() {
        gaps.push(gap("machine identity", "/sys/class/dmi/id is not there: no firmware tables, or a container"));
    }
    let architecture = if source.is_live() {
        rustix::system::uname().machine().to_string_lossy().into_owned()
    } else {
        source.text("/proc/sys/kernel/arch").unwrap_or_default()
    };
    let os = source.text("/etc/os-release").or_else(|| source.text("/usr/lib/os-release"));
    Identity {
        hostname: source.text("/proc/sys/kernel/hostname").or_else(|| source.text("/etc/hostname")).unwrap_or_default(),
        machine_id: source.text("/etc/machine-id"),
        os: os_release(&os.unwrap_or_default()),
        architecture,
        dmi,
    }
}

fn dmi(source: &Source) -> Option<Dmi> {
    let folder = "/sys/class/dmi/id";
    if source.names(folder).is_empty() {
        return None;
    }
    let read = |name: &str| source.text(format!("{folder}/{name}"));
    let together = |names: &[&str]| names.iter().filter_map(|name| read(name)).collect::<Vec<_>>().join(" ");
    Some(Dmi {
        vendor: together(&["sys_vendor"]),
        product: together(&["product_name"]),
        version: together(&["product_version"]),
        serial: together(&["product_serial"]),
        uuid: together(&["product_uuid"]),
        board: together(&["board_vendor", "board_name"]),
        firmware: together(&["bios_vendor", "bios_version", "bios_date"]),
    })
}

/// os-release(5): `KEY=value`, the value quoted as in a shell.
fn os_release(text: &str) -> OsRelease {
    let value = |wanted: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let value = lines.filter(|(key, _)| key.trim() == wanted).map(|(_, value)| unquote(value.trim())).next_back();
        value.unwrap_or_default()
    };
    OsRelease {
        id: value("ID"),
        version: value("VERSION_ID"),
        codename: value("VERSION_CODENAME"),
        name: value("PRETTY_NAME"),
    }
}

fn unquote(value: &str) -> String {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(plain) = quoted('\'') {
        return plain.to_owned();
    }
    let inner = quoted('"').unwrap_or(value);
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        text.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_values_lose_their_quotes() {
        let os =
            os_release("PRETTY_NAME=\"Debian GNU/Linux 12 \\\"bookworm\\\"\"\nID=debian\nVERSION_ID='12'\n#ID=x\n");
        assert_eq!((os.id.as_str(), os.version.as_str(), os.codename.as_str()), ("debian", "12", ""));
        assert_eq!(os.name, "Debian GNU/Linux 12 \"bookworm\"");
    }
}
