//! Image files that are put into machines.

use std::path::Path;

use crate::error::VmError;

/// Makes an empty disk of `size` bytes; an older file of that name is replaced.
///
/// # Errors
/// When the file cannot be written.
pub fn blank(image: &Path, size: u64) -> Result<(), VmError> {
    let file = std::fs::File::create(image).map_err(VmError::file("making disk", image))?;
    file.set_len(size).map_err(VmError::file("making disk", image))
}

/// Makes a small FAT medium that holds these files in its root.
///
/// # Errors
/// When `mkfs.vfat` or `mcopy` fails.
pub fn fat_medium(image: &Path, files: &[(&str, &[u8])]) -> Result<(), VmError> {
    blank(image, 64 << 20)?;
    let mkfs = exec::find("mkfs.vfat").unwrap_or_else(|| "mkfs.vfat".into());
    exec::Command::new(mkfs).args(["-F", "32", "-n", "KEY"]).arg(image).run()?;
    for (name, content) in files {
        // mcopy reads `-` from its standard input.
        let target = format!("::{name}");
        exec::Command::new("mcopy").arg("-i").arg(image).args(["-", &target]).stdin(*content).run()?;
    }
    Ok(())
}

/// Copies an image; holes stay holes.
///
/// # Errors
/// When `cp` fails.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<(), VmError> {
    exec::Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to).run()?;
    Ok(())
}

/// The SHA-256 of an image, in hexadecimal digits.
///
/// # Errors
/// When `sha256sum` fails.
pub fn sha256(image: &Path) -> Result<String, VmError> {
    let output = exec::Command::new("sha256sum").arg("--").arg(image).read()?;
    Ok(output.trim_start_matches('\\').chars().take(64).collect())
}
