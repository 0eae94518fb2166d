//! Which processor a guest gets: the machine's own, or an emulated one.

use std::path::Path;
use std::time::Duration;

use crate::error::VmError;

/// How guest code is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// By the machine's own processor.
    Kvm,
    /// By emulation.
    Tcg,
}

/// A kernel without a root gives up within two seconds on a real processor; a guest that hangs takes for ever.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

impl Accel {
    /// `LIFEBOAT_ACCEL` (`kvm` or `tcg`) decides; without it `kernel` is booted under KVM against a deadline of a
    /// few seconds. The answer is kept in the file `accel` of the folder `cache` until the machine is restarted.
    ///
    /// # Errors
    /// When the variable holds another word, or the cache cannot be written.
    pub fn choose(cache: &Path, kernel: &Path) -> Result<Self, VmError> {
        if let Some(word) = std::env::var_os("LIFEBOAT_ACCEL") {
            return Self::parse(&word.to_string_lossy()).ok_or_else(|| VmError::Io {
                what: format!("LIFEBOAT_ACCEL={}", word.display()),
                source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is either `kvm` or `tcg`"),
            });
        }
        // An answer from before a restart, or from another machine, counts for nothing.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let file = cache.join("accel");
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some((word, _)) = kept.split_once(' ').filter(|(_, of)| of.trim() == boot.trim())
            && let Some(accel) = Self::parse(word)
        {
            return Ok(accel);
        }
        std::fs::create_dir_all(cache).map_err(VmError::file("making folder", cache))?;
        let accel = Self::probe(kernel);
        let text = format!("{accel} {}\n", boot.trim());
        std::fs::write(&file, text).map_err(VmError::file("writing", &file))?;
        Ok(accel)
    }

    /// Boots `kernel` under KVM, with nothing to mount, and sees whether it gets as far as giving up. A few
    /// instructions are no proof: there are machines where firmware runs and every kernel hangs.
    #[must_use]
    pub fn probe(kernel: &Path) -> Self {
        let usable = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        if usable && gives_up(Self::Kvm, kernel, PROBE_LIMIT) { Self::Kvm } else { Self::Tcg }
    }

    /// QEMU's arguments.
    pub(crate) fn arguments(self) -> [String; 4] {
        // `rep movsb`, which guests prefer when they see `erms`, is slow under emulation.
        let [accel, cpu] = match self {
            Self::Kvm => ["kvm", "host"],
            Self::Tcg => ["tcg,thread=multi", "max,erms=off"],
        };
        ["-accel".to_owned(), accel.to_owned(), "-cpu".to_owned(), cpu.to_owned()]
    }

    fn parse(word: &str) -> Option<Self> {
        match word {
            "kvm" => Some(Self::Kvm),
            "tcg" => Some(Self::Tcg),
            _ => None,
        }
    }
}

impl std::fmt::Display for Accel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// Whether a machine with this kernel and no root ends by itself: the kernel panics, which restarts the machine, which
/// ends QEMU.
fn gives_up(accel: Accel, kernel: &Path, limit: Duration) -> bool {
    let command = exec::Command::new("qemu-system-x86_64")
        .args(accel.arguments())
        .args(["-m", "256", "-nodefaults", "-display", "none", "-vga", "none", "-no-reboot", "-kernel"])
        .arg(kernel)
        .args(["-append", "panic=-1 quiet"])
        .limit(limit);
    command.run().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_words_choose() {
        assert_eq!(Accel::parse("kvm"), Some(Accel::Kvm));
        assert_eq!(Accel::parse("tcg"), Some(Accel::Tcg));
        assert_eq!(Accel::parse("KVM "), None);
    }

    /// A probe that could not succeed would look like a KVM that hangs.
    #[test]
    fn a_file_that_is_no_kernel_does_not_pass_the_probe() {
        assert!(!gives_up(Accel::Tcg, Path::new("/etc/hostname"), Duration::from_secs(20)));
    }
}
