//! Selected modules into a tree: decompressed, with indexes cut to what is there.

use std::io::Read as _;

use super::{ModuleTree, Selection, name_of, stem, underscores};
use crate::error::Error;
use crate::tree::{Group, Tree};

impl ModuleTree {
    /// Puts the selected modules below `/lib/modules/RELEASE`, with `modules.dep`, `modules.softdep`, `modules.alias`,
    /// `modules.symbols` and `modules.builtin`.
    ///
    /// # Errors
    /// When a module cannot be read or decompressed.
    pub fn pack(&self, tree: &mut Tree, selection: &Selection) -> Result<(), Error> {
        let mut dep = String::new();
        for name in selection.names() {
            let Some(module) = self.modules.get(name) else { continue };
            let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
            let path = || self.sysroot.outside(&self.folder.join(&module.path));
            let content = self.content(name)?;
            let content = content.ok_or_else(|| Error::Read { path: path(), source: missing() })?;
            tree.file(&self.folder.join(plain(&module.path)), 0o644, content, Group::Modules)?;
            let needs: String = module.needs.iter().map(|need| format!(" {}", self.plain_path(need))).collect();
            dep += &format!("{}:{needs}\n", plain(&module.path));
        }
        self.index(tree, "modules.dep", dep)?;
        for name in ["modules.softdep", "modules.alias", "modules.symbols"] {
            if let Some(text) = self.sysroot.read(&self.folder.join(name))? {
                self.index(tree, name, keep(&String::from_utf8_lossy(&text), name, selection))?;
            }
        }
        for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
            if let Some(content) = self.sysroot.read(&self.folder.join(name))? {
                tree.file(&self.folder.join(name), 0o644, content, Group::Modules)?;
            }
        }
        Ok(())
    }

    fn index(&self, tree: &mut Tree, name: &str, text: String) -> Result<(), Error> {
        tree.file(&self.folder.join(name), 0o644, text.into_bytes(), Group::Modules)
    }

    fn plain_path(&self, name: &str) -> String {
        self.modules.get(name).map_or_else(|| name.to_owned(), |module| plain(&module.path))
    }
}

/// The path of a module without the suffix of its compression.
fn plain(path: &str) -> String {
    format!("{}.ko", stem(path))
}

/// The lines about modules that are there: the module's name is the second word in softdep, the last one in alias and symbols.
fn keep(text: &str, index: &str, selection: &Selection) -> String {
    let about = |line: &str| {
        let mut words = line.split_whitespace();
        if index == "modules.softdep" { words.nth(1).map(underscores) } else { words.next_back().map(name_of) }
    };
    let kept = text
        .lines()
        .filter(|line| !line.starts_with('#') && about(line).is_some_and(|name| selection.names.contains(&name)));
    kept.map(|line| format!("{line}\n")).collect()
}

/// A file as it was before its compression, which the ending of its name tells.
pub(crate) fn decompress(path: &str, content: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    match path.rsplit('.').next() {
        Some("xz") => xz2::read::XzDecoder::new_multi_decoder(&content[..]).read_to_end(&mut plain)?,
        Some("zst") => zstd::Decoder::new(&content[..])?.read_to_end(&mut plain)?,
        Some("gz") => flate2::read::MultiGzDecoder::new(&content[..]).read_to_end(&mut plain)?,
        _ => return Ok(content),
    };
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use super::*;
    use crate::sysroot::Sysroot;
    use crate::tree::Node;

    /// A kernel with one module in each compression.
    fn sample() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("lib/modules/1-test");
        fs::create_dir_all(modules.join("kernel/fs")).unwrap();
        let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(b"module a").unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"module c").unwrap();
        for (name, content) in [
            ("kernel/fs/a.ko.xz", xz.finish().unwrap()),
            ("kernel/fs/b-b.ko.zst", zstd::encode_all(&b"module b"[..], 1).unwrap()),
            ("kernel/fs/c.ko.gz", gz.finish().unwrap()),
            ("kernel/fs/d.ko", b"module d".to_vec()),
            ("modules.dep", b"kernel/fs/a.ko.xz: kernel/fs/b-b.ko.zst\nkernel/fs/b-b.ko.zst:\nkernel/fs/c.ko.gz:\nkernel/fs/d.ko:\n".to_vec()),
            ("modules.alias", b"# Aliases\nalias fs-a a\nalias fs-c c\n".to_vec()),
            ("modules.softdep", b"softdep a pre: b-b\nsoftdep c pre: d\n".to_vec()),
            ("modules.builtin", b"kernel/fs/e.ko\n".to_vec()),
        ] {
            fs::write(modules.join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn modules_arrive_decompressed_and_the_indexes_name_only_what_is_there() {
        let folder = sample();
        let modules = ModuleTree::read(&Sysroot::new(folder.path()), "1-test").unwrap();
        let mut tree = Tree::new();
        modules.pack(&mut tree, &modules.select(&["fs/a"], &[])).unwrap();
        let content = |path: &str| match &tree.get(&Path::new("/lib/modules/1-test").join(path)).unwrap().node {
            Node::File(content) => String::from_utf8(content.clone()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(content("kernel/fs/a.ko"), "module a");
        assert_eq!(content("kernel/fs/b-b.ko"), "module b");
        assert_eq!(content("modules.dep"), "kernel/fs/a.ko: kernel/fs/b-b.ko\nkernel/fs/b-b.ko:\n");
        assert_eq!(content("modules.alias"), "alias fs-a a\n");
        assert_eq!(content("modules.softdep"), "softdep a pre: b-b\n");
        assert_eq!(content("modules.builtin"), "kernel/fs/e.ko\n");
        assert!(tree.get(Path::new("/lib/modules/1-test/kernel/fs/c.ko")).is_none());
    }

    #[test]
    fn every_compression_that_kernels_use_is_opened() {
        let folder = sample();
        let modules = ModuleTree::read(&Sysroot::new(folder.path()), "1-test").unwrap();
        let mut tree = Tree::new();
        modules.pack(&mut tree, &modules.select(&["fs/*"], &[])).unwrap();
        let node = |name: &str| tree.get(&Path::new("/lib/modules/1-test/kernel/fs").join(name)).unwrap().node.clone();
        for (name, content) in
            [("a.ko", "module a"), ("b-b.ko", "module b"), ("c.ko", "module c"), ("d.ko", "module d")]
        {
            assert_eq!(node(name), Node::File(content.into()), "{name}");
        }
    }

    #[test]
    fn a_kernel_without_indexes_says_what_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let text = ModuleTree::read(&Sysroot::new(folder.path()), "9").unwrap_err().to_string();
        assert!(text.contains("depmod -b") && text.ends_with("9`"), "{text}");
    }
}
