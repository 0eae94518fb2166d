//! What can happen to a file of a vault.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What happens to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// One bit in the middle is another.
    Flip,
    /// The last quarter is gone.
    Truncate,
    /// A block at the start and one at the end have changed places.
    SwapBlocks,
    /// 4 KiB in the middle, or all of a smaller file, are zeroes.
    Zero,
    /// The file is gone.
    Delete,
    /// A copy of itself is appended.
    Double,
}

/// Every action on one file alone.
pub const ALL: [Action; 6] =
    [Action::Flip, Action::Truncate, Action::SwapBlocks, Action::Zero, Action::Delete, Action::Double];

const BLOCK: usize = 4096;

impl Action {
    /// Does it.
    pub fn apply(self, file: &Path) {
        let good = fs::read(file).unwrap();
        match self.changed(&good) {
            Some(bad) => {
                assert!(bad != good, "{self:?} leaves {} as it is", file.display());
                write(file, &bad);
            }
            None => fs::remove_file(file).unwrap(),
        }
    }

    fn changed(self, good: &[u8]) -> Option<Vec<u8>> {
        let (len, mut bytes) = (good.len(), good.to_vec());
        match self {
            Action::Flip => bytes[len / 2] ^= 1,
            Action::Truncate => bytes.truncate(len * 3 / 4),
            Action::SwapBlocks => {
                let block = BLOCK.min(len / 4);
                bytes[..block].copy_from_slice(&good[len - block..]);
                bytes[len - block..].copy_from_slice(&good[..block]);
            }
            Action::Zero => {
                let block = BLOCK.min(len);
                bytes[(len - block) / 2..][..block].fill(0);
            }
            Action::Delete => return None,
            Action::Double => bytes.extend_from_slice(good),
        }
        Some(bytes)
    }
}

/// Objects of a vault are read-only files; damage does not ask.
fn write(file: &Path, bytes: &[u8]) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(file, bytes).unwrap();
}

/// Two files change places.
pub fn swap(one: &Path, other: &Path) {
    let (first, second) = (fs::read(one).unwrap(), fs::read(other).unwrap());
    assert!(first != second);
    write(one, &second);
    write(other, &first);
}

/// A copy under another name, in the same vault.
pub fn copy_aside(file: &Path, name: &Path) {
    fs::create_dir_all(name.parent().unwrap()).unwrap();
    fs::copy(file, name).unwrap();
}
