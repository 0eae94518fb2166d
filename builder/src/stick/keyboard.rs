//! The layout of the host's keyboard, for whoever types a key at the rescue's prompt.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Where the rescue looks for it, as `loadkeys` reads it; its first line is a comment with its name.
pub const MAP: &str = "/etc/lifeboat/console.kmap";
/// The kernel's own layout.
const BUILT_IN: &str = "us";

/// What a stick carries for a keyboard.
#[derive(Debug, PartialEq, Eq)]
pub enum Keyboard {
    /// Nothing: it is the kernel's own layout, or the host does not say.
    Usual,
    /// This map.
    Map(Vec<u8>),
    /// The host has another layout, and there is no map for it that can be read.
    Unknown,
}

impl Keyboard {
    /// What the host below `root` has, as console-setup keeps it.
    pub fn of(root: &Path) -> Self {
        let settings = fs::read_to_string(root.join("etc/default/keyboard")).unwrap_or_default();
        let name = match layout(&settings) {
            Some(name) if name != BUILT_IN => name,
            _ => return Self::Usual,
        };
        let Some(path) = cached(root) else { return Self::Unknown };
        // `setupcon` makes a damaged one anew.
        read(&path).map_or(Self::Unknown, |text| Self::Map([format!("# {name}\n").as_bytes(), &text].concat()))
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path).ok()?).read_to_end(&mut text).ok()?;
    Some(text)
}

/// `de` of `XKBLAYOUT="de,us"`, with its variant: `de nodeadkeys`.
fn layout(settings: &str) -> Option<String> {
    let value = |name: &str| {
        let line = settings.lines().rev().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
        let first = line.trim().trim_matches(['"', '\'']).split(',').next()?.trim();
        (!first.is_empty()).then(|| first.to_owned())
    };
    let layout = value("XKBLAYOUT")?;
    Some(value("XKBVARIANT").map_or_else(|| layout.clone(), |variant| format!("{layout} {variant}")))
}

/// The map that `setupcon` has made of the settings: that for UTF-8 where there are several.
fn cached(root: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(root.join("etc/console-setup")).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut maps: Vec<String> =
        names.filter(|name| name.starts_with("cached_") && name.ends_with(".kmap.gz")).collect();
    maps.sort_by_key(|name| (!name.contains("UTF-8"), name.clone()));
    Some(root.join("etc/console-setup").join(maps.first()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn host(settings: &str, maps: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/default")).unwrap();
        fs::create_dir_all(root.path().join("etc/console-setup")).unwrap();
        fs::write(root.path().join("etc/default/keyboard"), settings).unwrap();
        for name in maps {
            let file = fs::File::create(root.path().join("etc/console-setup").join(name)).unwrap();
            let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            packed.write_all(name.as_bytes()).unwrap();
            packed.finish().unwrap();
        }
        root
    }

    #[test]
    fn the_map_that_the_host_uses_is_taken_with_its_name() {
        let settings = "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"de,us\"\nXKBVARIANT=\"nodeadkeys,\"\n";
        let root =
            host(settings, &["cached_ISO-8859-15_del.kmap.gz", "cached_UTF-8_del.kmap.gz", "cached_setup_font.sh"]);
        let map = b"# de nodeadkeys\ncached_UTF-8_del.kmap.gz".to_vec();
        assert_eq!(Keyboard::of(root.path()), Keyboard::Map(map));
    }

    #[test]
    fn a_host_with_the_usual_keyboard_needs_no_map_and_one_without_its_map_is_told() {
        assert_eq!(Keyboard::of(host("XKBLAYOUT=us\n", &[]).path()), Keyboard::Usual);
        assert_eq!(Keyboard::of(Path::new("/nonexistent")), Keyboard::Usual);
        let french = host("XKBLAYOUT='fr'\nXKBVARIANT=''\n", &[]);
        assert_eq!(Keyboard::of(french.path()), Keyboard::Unknown);
        let root = host("XKBLAYOUT=de\n", &[]);
        fs::write(root.path().join("etc/console-setup/cached_UTF-8_del.kmap.gz"), "no gzip").unwrap();
        assert_eq!(Keyboard::of(root.path()), Keyboard::Unknown);
    }
}
