//! tmp
use qemu_tests::{place, sample};
use vm::*;
#[test]
fn sample_boots() {
    let t = std::time::Instant::now();
    let s = sample::Sample::get().unwrap();
    let accel = s.accel;
    eprintln!("{accel}");
    eprintln!("finish {:?}", t.elapsed());
    for uefi in [false, true] {
        let vars = place::folder("vm-run").unwrap().join("tmp.vars");
        let _ = std::fs::remove_file(&vars);
        let m = Machine::new(if uefi { "tmp-uefi" } else { "tmp-bios" }, place::logs().unwrap(), accel)
            .screen()
            .firmware(if uefi { Firmware::Uefi { vars } } else { Firmware::Bios })
            .disk(Disk::new(&s.image, Bus::Virtio, sample::DISK_SERIAL).snapshot());
        let mut r = m.start().unwrap();
        let e = sample::await_up(&mut r);
        eprintln!("up {:?} {e:?}", r.elapsed());
        eprintln!("{}", r.run("findmnt; swapon; systemd-analyze; systemd-analyze blame | head; systemctl --failed; ls -la /home/ada/zoo; df -h; ls -la /sys/firmware/efi | head -3; lsmod | wc -l", std::time::Duration::from_secs(60)).unwrap().text());
        let t = std::time::Instant::now();
        let c = r
            .output("sh /usr/local/lib/sample/census.sh /home /root /etc /boot", std::time::Duration::from_secs(100))
            .unwrap();
        eprintln!("census {:?} {} lines", t.elapsed(), c.lines().count());
        std::fs::write("/tmp/w/census.txt", c).unwrap();
        r.picture(std::path::Path::new(if uefi { "/tmp/w/uefi.png" } else { "/tmp/w/bios.png" })).unwrap();
        r.quit().unwrap();
    }
}
