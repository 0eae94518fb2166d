//! A machine's description as QEMU's command line. No I/O.

use std::path::Path;

use crate::machine::{Bus, Disk, Firmware, Machine, Trouble};

/// The firmware's code; its variables start as a copy of [`OVMF_VARS`].
pub(crate) const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
/// The firmware's variables as they are shipped.
pub(crate) const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The firmware that keeps its variables from everybody but itself, and variables that enforce Secure Boot with Microsoft's keys.
pub(crate) const SECURE_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
pub(crate) const SECURE_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd";
/// The port that the rescue system writes its events to.
const EVENTS: &str = "org.lifeboat.events";
/// The port on which a guest made for tests takes commands.
const AGENT: &str = "org.lifeboat.agent";

/// The socket on which a machine's TPM listens.
pub(crate) const TPM: &str = "tpm";

/// QEMU's arguments. It connects to the four sockets in the folder `sockets`, which must be listening.
pub(crate) fn arguments(machine: &Machine, sockets: &Path) -> Vec<String> {
    let mut args = vec!["-name".to_owned(), escape(&machine.name)];
    args.extend(machine.accel.arguments());
    args.extend(["-smp".to_owned(), machine.processors.to_string(), "-m".to_owned(), machine.memory_mib.to_string()]);
    // Without a screen SeaBIOS writes its text, and GRUB's, to the first serial port.
    let graphics = if machine.screen { "on" } else { "off" };
    let smm = if matches!(machine.firmware, Firmware::SecureBoot { .. }) { ",smm=on" } else { "" };
    args.extend(["-machine".to_owned(), format!("q35,graphics={graphics}{smm}")]);
    let fixed = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-device", "virtio-rng-pci"];
    args.extend(fixed.map(str::to_owned));
    args.extend(["-vga".to_owned(), if machine.screen { "std" } else { "none" }.to_owned()]);
    args.extend(wires(machine, sockets));
    args.extend(firmware(&machine.firmware));
    if machine.tpm.is_some() {
        let socket = escape_path(&sockets.join(TPM));
        args.extend(["-chardev".to_owned(), format!("socket,id=tpm,path={socket}")]);
        args.extend(["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"].map(str::to_owned));
    }
    for (number, card) in machine.cards.iter().enumerate() {
        args.extend(["-netdev".to_owned(), format!("hubport,id=wire{number},hubid={number}")]);
        args.extend(["-device".to_owned(), format!("{},netdev=wire{number},mac={}", card.model, card.mac)]);
    }
    args.extend(["-device".to_owned(), "qemu-xhci,id=usb".to_owned()]);
    if machine.disks.iter().any(|disk| disk.bus == Bus::Scsi) {
        args.extend(["-device".to_owned(), "virtio-scsi-pci,id=scsi".to_owned()]);
    }
    for (number, entry) in machine.disks.iter().enumerate() {
        args.extend(disk(entry, number, &machine.disks[..number]));
    }
    args
}

fn wires(machine: &Machine, sockets: &Path) -> Vec<String> {
    let socket = |name: &str| format!("socket,id={name},path={}", escape_path(&sockets.join(name)));
    let log = escape_path(&machine.console_log());
    vec![
        "-chardev".to_owned(),
        format!("{},logfile={log},logappend=off", socket("serial")),
        "-serial".to_owned(),
        "chardev:serial".to_owned(),
        "-device".to_owned(),
        "virtio-serial-pci".to_owned(),
        "-chardev".to_owned(),
        socket("events"),
        "-device".to_owned(),
        format!("virtserialport,chardev=events,name={EVENTS}"),
        "-chardev".to_owned(),
        socket("agent"),
        "-device".to_owned(),
        format!("virtserialport,chardev=agent,name={AGENT}"),
        "-chardev".to_owned(),
        socket("qmp"),
        "-mon".to_owned(),
        "chardev=qmp,mode=control".to_owned(),
    ]
}

fn firmware(firmware: &Firmware) -> Vec<String> {
    match firmware {
        Firmware::Bios => Vec::new(),
        Firmware::Uefi { vars } => flash(OVMF_CODE, vars),
        // Only the firmware, in its own mode of the processor, may write the variables: what a guest could switch off enforces nothing.
        Firmware::SecureBoot { vars } => {
            let secure = ["-global", "driver=cfi.pflash01,property=secure,value=on"].map(str::to_owned);
            [secure.to_vec(), flash(SECURE_CODE, vars)].concat()
        }
        Firmware::Kernel { kernel, initrd, command_line } => vec![
            "-kernel".to_owned(),
            kernel.display().to_string(),
            "-initrd".to_owned(),
            initrd.display().to_string(),
            "-append".to_owned(),
            command_line.clone(),
        ],
    }
}

fn flash(code: &str, vars: &Path) -> Vec<String> {
    vec![
        "-drive".to_owned(),
        format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"),
        "-drive".to_owned(),
        format!("if=pflash,unit=1,format=raw,file={}", escape_path(vars)),
    ]
}

fn disk(disk: &Disk, number: usize, before: &[Disk]) -> Vec<String> {
    let snapshot = if disk.snapshot { "on" } else { "off" };
    let image = escape_path(&disk.image);
    let medium = if disk.bus == Bus::Disc { ",media=cdrom,readonly=on" } else { "" };
    let file = file(disk.trouble, &image);
    let drive =
        format!("if=none,id=disk{number},format=raw,cache=unsafe,discard=unmap,snapshot={snapshot},{file}{medium}");
    let device = match disk.bus {
        Bus::Virtio => "virtio-blk-pci".to_owned(),
        Bus::Sata => {
            format!("ide-hd,bus=ide.{}", ahci_port(before))
        }
        Bus::Disc => format!("ide-cd,bus=ide.{}", ahci_port(before)),
        Bus::Nvme => "nvme".to_owned(),
        Bus::Scsi => "scsi-hd,bus=scsi.0".to_owned(),
        Bus::Usb => "usb-storage,bus=usb.0,removable=on".to_owned(),
    };
    let boot = disk.boot.map(|index| format!(",bootindex={index}")).unwrap_or_default();
    let sector = disk.sector.map(|bytes| format!(",logical_block_size={bytes},physical_block_size={bytes}"));
    let sector = sector.unwrap_or_default();
    let (serial, id) = (escape(&disk.serial), device_id(number));
    let device = format!("{device},drive=disk{number},serial={serial}{boot}{sector},id={id}");
    vec!["-drive".to_owned(), drive, "-device".to_owned(), device]
}

/// The first port of the AHCI controller that no disk before has.
fn ahci_port(before: &[Disk]) -> usize {
    before.iter().filter(|other| matches!(other.bus, Bus::Sata | Bus::Disc)).count()
}

/// The name of a disk's device for QEMU's commands.
pub(crate) fn device_id(number: usize) -> String {
    format!("plug{number}")
}

/// The image, and what is wrong with it.
fn file(trouble: Option<Trouble>, image: &str) -> String {
    let broken = |kind: &str, sector: u64| {
        let rule = "file.inject-error.0";
        format!(
            "file.driver=blkdebug,file.image.driver=file,file.image.filename={image},{rule}.event=none,\
             {rule}.iotype={kind},{rule}.sector={sector},{rule}.errno=5,{rule}.once=off,{rule}.immediately=off"
        )
    };
    match trouble {
        None => format!("file={image}"),
        Some(Trouble::WriteProtected) => format!("file={image},readonly=on"),
        Some(Trouble::Slow(bytes)) => format!("file={image},throttling.bps-total={bytes}"),
        Some(Trouble::BadToRead(sector)) => broken("read", sector),
        Some(Trouble::BadToWrite(sector)) => broken("write", sector),
    }
}

/// A comma ends a value unless it is doubled.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

fn escape_path(path: &Path) -> String {
    escape(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Accel;

    fn line(machine: &Machine) -> String {
        arguments(machine, Path::new("/s")).join(" ")
    }

    #[test]
    fn each_disk_shows_its_serial_on_its_own_bus() {
        let machine = Machine::new("m", "/logs", Accel::Tcg)
            .disk(Disk::new("/a.img", Bus::Sata, "S1").snapshot())
            .disk(Disk::new("/b.img", Bus::Sata, "S2"))
            .disk(Disk::new("/c.img", Bus::Scsi, "S3"))
            .disk(Disk::new("/stick.img", Bus::Usb, "STICK").boot(0));
        let line = line(&machine);
        for part in [
            "snapshot=on,file=/a.img",
            "ide-hd,bus=ide.0,drive=disk0,serial=S1",
            "ide-hd,bus=ide.1,drive=disk1,serial=S2",
            "virtio-scsi-pci,id=scsi",
            "scsi-hd,bus=scsi.0,drive=disk2,serial=S3",
            "snapshot=off,file=/stick.img",
            "usb-storage,bus=usb.0,removable=on,drive=disk3,serial=STICK,bootindex=0",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn secure_boot_is_enforced_by_firmware_that_the_guest_cannot_change() {
        let firmware = Firmware::SecureBoot { vars: "/v.fd".into() };
        let line = line(&Machine::new("m", "/logs", Accel::Tcg).firmware(firmware));
        for part in [
            "smm=on",
            "property=secure,value=on",
            "readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
            "file=/v.fd",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn a_disk_with_larger_sectors_says_so() {
        let machine = Machine::new("m", "/logs", Accel::Tcg).disk(Disk::new("/a", Bus::Nvme, "S").sectors(4096));
        let line = line(&machine);
        assert!(line.contains("serial=S,logical_block_size=4096,physical_block_size=4096,id=plug0"), "{line}");
    }

    #[test]
    fn a_comma_in_a_file_name_does_not_start_an_option() {
        let machine = Machine::new("m", "/logs", Accel::Tcg).disk(Disk::new("/a,b.img", Bus::Virtio, "S"));
        assert!(line(&machine).contains("file=/a,,b.img"));
    }

    #[test]
    fn an_emulated_machine_hides_the_instruction_that_slows_it_down() {
        let machine = Machine::new("m", "/logs", Accel::Tcg);
        assert!(line(&machine).contains("-accel tcg,thread=multi -cpu max,erms=off"));
    }
}
