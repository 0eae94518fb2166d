//! Listings of archives that cpio and the compressors made, and of a real initramfs.

use std::process::{Command, Stdio};

use super::*;

/// An archive as cpio makes it, of files with these paths.
fn archive(paths: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for path in paths {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "content of odd length").unwrap();
    }
    let names = Command::new("find").arg(".").current_dir(folder.path()).output().unwrap().stdout;
    filter("cpio", &["-o", "-H", "newc", "--quiet"], folder.path(), &names)
}

fn filter(program: &str, args: &[&str], folder: &Path, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

#[test]
fn modules_are_found_in_every_compression_behind_plain_archives() {
    let early = archive(&["kernel/x86/microcode/GenuineIntel.bin", "usr/lib/modules/1/kernel/early-one.ko.zst"]);
    let main = archive(&[
        "usr/lib/modules/1/kernel/drivers/ata/ahci.ko",
        "usr/lib/modules/1/kernel/nvme-core.ko.xz",
        "init",
        "not.kompressed",
    ]);
    for (program, args) in
        [("zstd", &["-q", "-c"][..]), ("gzip", &["-c"]), ("xz", &["--check=crc32", "-c"]), ("cat", &[])]
    {
        let image = [early.clone(), filter(program, args, Path::new("/"), &main)].concat();
        let names: Vec<String> = listing::modules(&image[..]).unwrap().into_iter().collect();
        assert_eq!(names, ["ahci", "early_one", "nvme_core"], "{program}");
        let half = early.len() + (image.len() - early.len()) / 2;
        assert!(listing::modules(&image[..half]).is_err(), "cut, by {program}");
    }
    assert!(listing::modules(&b"BZh91AY"[..]).is_err());
}

#[test]
fn a_real_initramfs_holds_what_lsinitramfs_lists() {
    let image = fs::read_dir("/boot").unwrap().map(|entry| entry.unwrap().path());
    let mut images = image.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("initrd.img-"));
    let image = images.next().expect("this test needs an initramfs in /boot: install linux-image-amd64");
    let listed = Command::new("lsinitramfs").arg(&image).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let wanted: BTreeSet<String> = listed.lines().filter_map(listing::module_name).collect();
    assert!(wanted.len() > 10, "{}", wanted.len());
    assert_eq!(listing::modules(fs::File::open(image).unwrap()).unwrap(), wanted);
}

/// A restored system with one kernel whose image holds `ahci`.
fn system() -> (tempfile::TempDir, Image) {
    let root = tempfile::tempdir().unwrap();
    let modules = root.path().join("lib/modules/6.1-a");
    fs::create_dir_all(&modules).unwrap();
    fs::create_dir_all(root.path().join("boot")).unwrap();
    fs::write(
        modules.join("modules.dep"),
        "kernel/ahci.ko:\nkernel/nvme.ko: kernel/nvme-core.ko\nkernel/nvme-core.ko:\n",
    )
    .unwrap();
    fs::write(modules.join("modules.builtin"), "kernel/drivers/scsi/sd_mod.ko\n").unwrap();
    fs::write(root.path().join("boot/initrd.img-6.1-a"), archive(&["lib/modules/6.1-a/kernel/ahci.ko"])).unwrap();
    fs::write(root.path().join("boot/initrd.img-5.0-gone"), "of a kernel that was removed").unwrap();
    let mut found = images(root.path());
    assert_eq!(found.len(), 1, "{found:?}");
    (root, found.remove(0))
}

#[test]
fn an_image_is_made_anew_only_for_a_driver_that_neither_it_nor_its_kernel_has() {
    let (root, image) = system();
    let verdict = |drivers: &[&str]| {
        let drivers = drivers.iter().map(|name| (*name).to_owned()).collect();
        judge(root.path(), &image, &drivers).unwrap()
    };
    assert_eq!(verdict(&["ahci", "sd_mod"]), Verdict::Complete);
    assert_eq!(verdict(&[]), Verdict::Complete);
    assert_eq!(verdict(&["ahci", "nvme", "nvme_core"]), Verdict::Lacks(vec!["nvme".into(), "nvme_core".into()]));
    assert_eq!(verdict(&["nvme", "megaraid_sas"]), Verdict::NoSuchModules(vec!["megaraid_sas".into()]));
    fs::write(root.path().join(&image.path), "damaged").unwrap();
    assert!(judge(root.path(), &image, &BTreeSet::new()).is_err());
}

#[test]
fn the_drivers_of_a_disk_are_those_of_its_controller_and_its_buses() {
    let sys = tempfile::tempdir().unwrap();
    let controller = sys.path().join("devices/pci0000:00/0000:00:02.0");
    fs::create_dir_all(controller.join("nvme/nvme0/nvme0n1")).unwrap();
    fs::create_dir_all(sys.path().join("bus/pci/drivers/nvme")).unwrap();
    std::os::unix::fs::symlink("../../../../module/nvme", sys.path().join("bus/pci/drivers/nvme/module")).unwrap();
    std::os::unix::fs::symlink(sys.path().join("bus/pci/drivers/nvme"), controller.join("driver")).unwrap();
    fs::create_dir_all(sys.path().join("class/block")).unwrap();
    std::os::unix::fs::symlink(controller.join("nvme/nvme0/nvme0n1"), sys.path().join("class/block/nvme0n1")).unwrap();
    assert_eq!(drivers_of(sys.path(), "nvme0n1").into_iter().collect::<Vec<_>>(), ["nvme"]);
    assert!(drivers_of(sys.path(), "sdz").is_empty());
}

#[test]
fn what_is_demanded_is_appended_to_the_host_s_own_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("modules");
    fs::write(&file, "# mine\ndm_crypt\n").unwrap();
    demand(&file, &["nvme".into(), "nvme_core".into()]).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\ndm_crypt\n") && text.ends_with("\nnvme\nnvme_core\n"), "{text}");
}
