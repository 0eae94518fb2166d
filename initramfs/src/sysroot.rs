//! The root folder that files are taken from. Links are followed inside it, absolute ones too, as a chroot would.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;

/// Links that the kernel follows before it gives up.
const LINK_LIMIT: usize = 40;

/// A root folder.
#[derive(Clone, Debug)]
pub struct Sysroot {
    root: PathBuf,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The path without links, from `/`.
    pub real: PathBuf,
    /// The symbolic links on the way, each with its path (without links in its parents) and its target as it stands.
    pub links: Vec<(PathBuf, PathBuf)>,
}

impl Sysroot {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path outside for a path inside; links in it are not followed.
    #[must_use]
    pub fn outside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Follows `path` to its end; none where there is nothing.
    ///
    /// # Errors
    /// When a folder on the way cannot be read, or the links lead in a circle.
    pub fn resolve(&self, path: &Path) -> Result<Option<Resolved>, Error> {
        let mut rest: VecDeque<OsString> = names(path).into();
        let mut resolved = Resolved { real: PathBuf::from("/"), links: Vec::new() };
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                resolved.real.pop();
                continue;
            }
            let here = resolved.real.join(&name);
            let outside = self.outside(&here);
            let kind = match fs::symlink_metadata(&outside) {
                Ok(metadata) => metadata.file_type(),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Ok(None);
                }
                Err(source) => return Err(Error::Read { path: outside, source }),
            };
            if !kind.is_symlink() {
                resolved.real = here;
                continue;
            }
            let target = fs::read_link(&outside).map_err(|source| Error::Read { path: outside, source })?;
            if resolved.links.len() == LINK_LIMIT {
                return Err(Error::LinkLoop(path.to_owned()));
            }
            if target.is_absolute() {
                resolved.real = PathBuf::from("/");
            }
            for name in names(&target).into_iter().rev() {
                rest.push_front(name);
            }
            resolved.links.push((here, target));
        }
        Ok(Some(resolved))
    }

    /// Where `path` leads, if to a regular file.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn file(&self, path: &Path) -> Result<Option<Resolved>, Error> {
        Ok(self.resolve(path)?.filter(|resolved| self.outside(&resolved.real).is_file()))
    }

    /// The content of the file that `path` leads to; none where there is no file.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        let Some(resolved) = self.file(path)? else { return Ok(None) };
        let outside = self.outside(&resolved.real);
        fs::read(&outside).map(Some).map_err(|source| Error::Read { path: outside, source })
    }

    /// The names in a folder, sorted; none where it does not exist.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn list(&self, path: &Path) -> Result<Vec<OsString>, Error> {
        let Some(resolved) = self.resolve(path)? else { return Ok(Vec::new()) };
        let outside = self.outside(&resolved.real);
        let read = || -> std::io::Result<Vec<OsString>> {
            fs::read_dir(&outside)?.map(|entry| Ok(entry?.file_name())).collect()
        };
        let mut names = read().map_err(|source| Error::Read { path: outside.clone(), source })?;
        names.sort();
        Ok(names)
    }
}

/// The components that lead somewhere.
fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn sample() -> (tempfile::TempDir, Sysroot) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("usr/lib/deep")).unwrap();
        fs::write(root.join("usr/lib/deep/lib.so.1.2"), "library").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("lib.so.1.2", root.join("usr/lib/deep/lib.so.1")).unwrap();
        symlink("/lib/deep/lib.so.1", root.join("usr/lib/lib.so")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let sysroot = Sysroot::new(root);
        (folder, sysroot)
    }

    #[test]
    fn absolute_links_stay_inside_the_root_and_the_whole_chain_is_kept() {
        let (_folder, sysroot) = sample();
        let resolved = sysroot.resolve(Path::new("/lib/lib.so")).unwrap().unwrap();
        assert_eq!(resolved.real, Path::new("/usr/lib/deep/lib.so.1.2"));
        let links: Vec<&str> = resolved.links.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(links, ["/lib", "/usr/lib/lib.so", "/lib", "/usr/lib/deep/lib.so.1"]);
        assert_eq!(sysroot.read(Path::new("/lib/lib.so")).unwrap().unwrap(), b"library");
    }

    #[test]
    fn parents_stop_at_the_root_and_circles_are_named() {
        let (_folder, sysroot) = sample();
        let resolved = sysroot.resolve(Path::new("/../../usr/../usr/lib")).unwrap().unwrap();
        assert_eq!(resolved.real, Path::new("/usr/lib"));
        assert!(matches!(sysroot.resolve(Path::new("/loop")), Err(Error::LinkLoop(_))));
        assert_eq!(sysroot.resolve(Path::new("/usr/none")).unwrap(), None);
        assert_eq!(sysroot.read(Path::new("/usr/lib")).unwrap(), None);
    }
}
