//! The keyboard's layout: that of the host, which the stick carries as `loadkeys` reads it. Without one it is the kernel's own, of the United States.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::screen::Screen;

/// Where the builder puts the map; its first line is a comment with its name.
const MAP: &str = "/etc/lifeboat/console.kmap";
/// The maps are the same for all consoles on the screen.
const CONSOLE: &str = "/dev/tty1";
const LIMIT: Duration = Duration::from_secs(20);

/// Loads the map, and says for which keyboard it is. A machine without a screen has none.
pub fn load(screen: &Screen) {
    let Ok(map) = fs::read(MAP) else { return };
    if !Path::new(CONSOLE).exists() {
        return;
    }
    match exec::Command::new("loadkeys").args(["-q", "-C", CONSOLE, MAP]).limit(LIMIT).run() {
        Ok(_) => {
            let name = name(&map);
            screen.say(&format!("Keyboard: {name}, as on the host."));
            screen.set_keyboard(name);
        }
        Err(error) => screen.say(&format!("Keyboard: us; the host's own could not be loaded: {error}")),
    }
}

fn name(map: &[u8]) -> String {
    let first = map.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(first).trim_start_matches('#').trim().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_map_is_called_by_its_first_line() {
        assert_eq!(super::name(b"# de\nkeymaps 0-127\n"), "de");
    }
}
