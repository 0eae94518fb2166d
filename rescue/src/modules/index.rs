//! depmod's text files: `modules.dep`, `modules.alias`, `modules.softdep`.

use std::collections::HashMap;

use super::glob;

/// What is known of a kernel's modules.
#[derive(Debug, Default)]
pub struct Index {
    modules: HashMap<String, Module>,
    /// Patterns by what stands before their first `:` or `-`, so that a device is not held against every alias of every bus.
    aliases: HashMap<String, Vec<(String, String)>>,
    soft: HashMap<String, Soft>,
}

#[derive(Debug)]
struct Module {
    path: String,
    needs: Vec<String>,
}

#[derive(Debug, Default)]
struct Soft {
    before: Vec<String>,
    after: Vec<String>,
}

impl Index {
    /// Reads the three files' text.
    pub fn parse(dep: &str, alias: &str, softdep: &str) -> Self {
        let mut index = Self::default();
        for line in dep.lines() {
            let Some((path, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_ascii_whitespace().map(name_of).collect();
            index.modules.insert(name_of(path), Module { path: path.to_owned(), needs });
        }
        for line in alias.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) = (words.next(), words.next(), words.next()) {
                let known = index.aliases.entry(bus(pattern).to_owned()).or_default();
                known.push((pattern.to_owned(), normal(module)));
            }
        }
        for line in softdep.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("softdep"), Some(module)) = (words.next(), words.next()) {
                index.soft.insert(normal(module), Soft::parse(words));
            }
        }
        index
    }

    /// Whether it knows no module at all.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// A module's file below the modules folder.
    pub fn path(&self, module: &str) -> Option<&str> {
        self.modules.get(module).map(|module| module.path.as_str())
    }

    /// The modules that `name` stands for, each after everything that it needs.
    pub fn resolve(&self, name: &str) -> Vec<String> {
        let mut order = Vec::new();
        for module in self.named(name) {
            self.add(&module, &mut order, &mut Vec::new());
        }
        order
    }

    fn named(&self, name: &str) -> Vec<String> {
        let module = normal(name);
        if self.modules.contains_key(&module) {
            return vec![module];
        }
        let aliases = self.aliases.get(bus(name)).into_iter().flatten();
        aliases
            .filter(|(pattern, _)| glob::fits(pattern.as_bytes(), name.as_bytes()))
            .map(|(_, module)| module.clone())
            .collect()
    }

    fn add(&self, module: &str, order: &mut Vec<String>, open: &mut Vec<String>) {
        let Some(found) = self.modules.get(module) else { return };
        // A circle of soft dependencies exists in real kernels; the first round wins.
        if order.iter().any(|done| done == module) || open.iter().any(|one| one == module) {
            return;
        }
        open.push(module.to_owned());
        let soft = self.soft.get(module);
        for name in soft.into_iter().flat_map(|soft| &soft.before) {
            self.named(name).iter().for_each(|other| self.add(other, order, open));
        }
        // modules.dep lists the whole closure, nearest first: the farthest is loaded first.
        found.needs.iter().rev().for_each(|other| self.add(other, order, open));
        order.push(module.to_owned());
        for name in soft.into_iter().flat_map(|soft| &soft.after) {
            self.named(name).iter().for_each(|other| self.add(other, order, open));
        }
    }
}

impl Soft {
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut soft = Self::default();
        let mut after = false;
        for word in words {
            match word {
                "pre:" => after = false,
                "post:" => after = true,
                name if after => soft.after.push(name.to_owned()),
                name => soft.before.push(name.to_owned()),
            }
        }
        soft
    }
}

/// `kernel/fs/ext4/ext4.ko.xz` is `ext4`; dashes and underscores are the same to the kernel.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

fn normal(name: &str) -> String {
    name.replace('-', "_")
}

fn bus(name: &str) -> &str {
    let end = name.find([':', '-', '*', '?', '[']).unwrap_or(name.len());
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::parse(
            "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko kernel/lib/crc16.ko\n\
             kernel/fs/jbd2/jbd2.ko:\nkernel/fs/mbcache.ko:\nkernel/lib/crc16.ko:\n\
             kernel/crypto/crc32c_generic.ko.xz:\nkernel/drivers/virtio-blk.ko: kernel/fs/mbcache.ko\n\
             kernel/a.ko:\nkernel/b.ko:\n",
            "# comment\nalias fs-ext4 ext4\nalias crypto-crc32c crc32c_generic\nalias virtio:d00000002v* virtio_blk\n",
            "softdep ext4 pre: crypto-crc32c\nsoftdep a pre: b\nsoftdep b pre: a\nsoftdep jbd2 post: b\n",
        )
    }

    #[test]
    fn everything_needed_comes_first() {
        assert_eq!(index().resolve("fs-ext4"), ["crc32c_generic", "crc16", "mbcache", "jbd2", "a", "b", "ext4"]);
    }

    #[test]
    fn dashes_are_underscores_and_devices_find_their_driver() {
        assert_eq!(index().resolve("virtio:d00000002v00001AF4"), ["mbcache", "virtio_blk"]);
        assert_eq!(index().resolve("virtio-blk"), ["mbcache", "virtio_blk"]);
        assert_eq!(index().path("crc32c_generic"), Some("kernel/crypto/crc32c_generic.ko.xz"));
    }

    #[test]
    fn circles_end_and_strangers_are_nothing() {
        assert_eq!(index().resolve("a"), ["b", "a"]);
        assert!(index().resolve("pci:v0000").is_empty());
    }
}
