//! A machine made of files, for commands that look at a host: sysfs by hand, its disk by the real tools.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const ROOT: &str = "0a0b0c0d-0000-4000-8000-000000000001";

/// A machine below a folder.
pub struct Machine {
    pub root: PathBuf,
}

impl Machine {
    /// One disk with an ext4 root, which starts by BIOS.
    pub fn new(root: PathBuf) -> Self {
        let machine = Self { root };
        fs::create_dir_all(machine.path("dev")).unwrap();
        machine.disk();
        machine.write("proc/self/mountinfo", "1 0 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n");
        machine.write("proc/sys/kernel/hostname", "box\n");
        machine.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
        machine.write("proc/cmdline", &format!("BOOT_IMAGE=/boot/vmlinuz root=UUID={ROOT} ro\n"));
        machine.write("etc/fstab", &format!("UUID={ROOT} / ext4 errors=remount-ro 0 1\n"));
        machine.write("etc/machine-id", "0a0b0c0d000040008000000000000001\n");
        machine.write("etc/os-release", "ID=debian\nPRETTY_NAME=Debian\n");
        for file in ["boot/vmlinuz-6.1.0-18-amd64", "boot/initrd.img-6.1.0-18-amd64", "boot/grub/i386-pc/core.img"] {
            machine.write(file, "x");
        }
        machine.write("lib/modules/6.1.0-18-amd64/modules.dep", "");
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn disk(&self) {
        let disk = self.path("dev/vda");
        fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
        run("sgdisk", &["--new=1:1M:+40M".as_ref(), disk.as_ref()]);
        self.root_filesystem(&[]);
        let device = "sys/devices/pci0000:00/0000:00:03.0/virtio0/block/vda";
        let attributes = [
            ("dev", "254:0"),
            ("size", "131072"),
            ("serial", "QM0007"),
            ("removable", "0"),
            ("queue/logical_block_size", "512"),
        ];
        for (name, value) in attributes {
            self.write(&format!("{device}/{name}"), value);
        }
        for (name, value) in [("partition", "1"), ("size", "81920"), ("dev", "254:1")] {
            self.write(&format!("{device}/vda1/{name}"), value);
        }
        fs::create_dir_all(self.path("sys/class/block")).unwrap();
        let target = "../../devices/pci0000:00/0000:00:03.0/virtio0/block/vda";
        symlink(target, self.path("sys/class/block/vda")).unwrap();
        symlink(format!("{target}/vda1"), self.path("sys/class/block/vda1")).unwrap();
    }

    /// Makes the root filesystem, again with other options.
    pub fn root_filesystem(&self, options: &[&str]) {
        let device = self.path("dev/vda1");
        fs::File::create(&device).unwrap().set_len(40 << 20).unwrap();
        let mut args: Vec<&std::ffi::OsStr> = ["-q", "-t", "ext4", "-U", ROOT].map(AsRef::as_ref).to_vec();
        args.extend(options.iter().map(std::ffi::OsStr::new));
        args.push(device.as_ref());
        run("mke2fs", &args);
    }
}

fn run(program: &str, args: &[&std::ffi::OsStr]) {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new(program).args(args).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
