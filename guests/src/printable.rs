//! Names that others have chosen, as they may be shown: no terminal takes them for a command, and no list for two lines.

/// The name, with `?` for every control character.
#[must_use]
pub fn printable(name: &str) -> String {
    name.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(printable("web\u{1b}[2Jé\n"), "web?[2Jé?");
    }
}
