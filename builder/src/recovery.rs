//! What a stick carries for whoever has no Lifeboat at hand: instructions, a script for stock tools, and the key to check signatures with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use manifest::Signer;

const INSTRUCTIONS: &str = include_str!("../../templates/recover/RECOVER.md");
const SCRIPT: &str = include_str!("../../templates/recover/recover.sh");

/// Puts the recovery files into `folder`, the root of a stick's data partition.
///
/// # Errors
/// When the folder cannot be written.
pub fn put(folder: &Path, signers: &[Signer]) -> anyhow::Result<()> {
    let signers: String = signers.iter().map(|signer| format!("{signer}\n")).collect();
    let write = || -> std::io::Result<()> {
        fs::write(folder.join("RECOVER.md"), INSTRUCTIONS)?;
        fs::write(folder.join("recover.sh"), SCRIPT)?;
        fs::set_permissions(folder.join("recover.sh"), fs::Permissions::from_mode(0o755))?;
        fs::write(folder.join("allowed_signers"), signers)?;
        fs::create_dir_all(folder.join("orders"))?;
        fs::create_dir_all(folder.join("reports"))
    };
    write().context("writing the recovery files")
}
