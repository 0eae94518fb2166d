//! One pass over an archive: every sum, every count, and every cluster once.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::extent::{self, Extent, Slot};
use super::header::{self, FIXED, Header};
use super::seen::{Mark, Room, Seen};
use super::{BLOCK, CLUSTER};
use crate::archive::input::{Input, Stop};
use crate::archive::{Device, Faults, Report};

/// Ranges that a fault names.
const NAMED: usize = 8;

/// Takes what is stored: the device's name, where in it, and the bytes.
pub type Sink<'a> = &'a mut dyn FnMut(&str, u64, &[u8]) -> io::Result<()>;

/// Reads the archive to its end, fills the report, and gives what is not zero to `sink`.
pub(crate) fn walk<R: Read>(input: &mut Input<R>, report: &mut Report, sink: Sink<'_>) -> Result<(), Stop> {
    let header = match read_header(input)? {
        Ok(header) => header,
        Err(what) => {
            report.faults.add("the header", what);
            return Ok(());
        }
    };
    report.configs = header.configs.iter().map(|config| config.name.clone()).collect();
    let disks = header.devices.iter().map(|(number, device)| (*number, Disk::new(device.clone()))).collect();
    let buffer = vec![0; CLUSTER as usize];
    let mut pass = Pass { uuid: header.uuid, disks, room: Room::default(), faults: &mut report.faults, buffer, sink };
    let stopped = pass.extents(input);
    // What is missing is worth knowing though the stream broke.
    pass.missing();
    report.devices = pass.disks.into_values().map(Disk::report).collect();
    stopped
}

/// Reads the header, no more of it than there is.
pub(super) fn read_header<R: Read>(input: &mut Input<R>) -> Result<Result<Header, String>, Stop> {
    let mut bytes = vec![0; FIXED];
    let read = input.fill(&mut bytes)?;
    let Some(fixed) = bytes.first_chunk::<FIXED>().filter(|_| read == FIXED) else {
        return Ok(Err("is cut off".to_owned()));
    };
    let length = match header::length(fixed) {
        Ok(length) => length,
        Err(what) => return Ok(Err(what)),
    };
    bytes.resize(length, 0);
    let read = input.fill(&mut bytes[FIXED..])?;
    bytes.truncate(FIXED + read);
    Ok(Header::parse(&bytes))
}

struct Disk {
    device: header::Device,
    seen: Seen,
    stored: u64,
    missing: u64,
}

impl Disk {
    fn new(device: header::Device) -> Self {
        Self { seen: Seen::new(device.clusters()), device, stored: 0, missing: 0 }
    }

    fn report(self) -> Device {
        let Self { device, stored, missing, .. } = self;
        Device { name: device.name, size: device.size, stored, missing: (missing * CLUSTER).min(device.size) }
    }
}

/// Whether what follows can still be placed.
enum Next {
    Follows,
    Lost,
}

struct Pass<'a> {
    uuid: [u8; 16],
    disks: BTreeMap<u8, Disk>,
    room: Room,
    faults: &'a mut Faults,
    buffer: Vec<u8>,
    sink: Sink<'a>,
}

impl Pass<'_> {
    fn extents<R: Read>(&mut self, input: &mut Input<R>) -> Result<(), Stop> {
        for number in 1_u64.. {
            let place = format!("extent {number} at byte {}", input.at());
            let mut bytes = [0; extent::LENGTH];
            match input.fill(&mut bytes)? {
                0 => break,
                extent::LENGTH => {}
                read => {
                    self.faults
                        .add(place, format!("the archive is cut off: {read} of 512 bytes of its header are there"));
                    break;
                }
            }
            let Some(extent) = Extent::parse(&bytes) else {
                self.faults.add(place, "does not begin with VMAE: what follows cannot be read");
                break;
            };
            if let Next::Lost = self.extent(input, &extent, &place)? {
                break;
            }
        }
        Ok(())
    }

    fn extent<R: Read>(&mut self, input: &mut Input<R>, extent: &Extent, place: &str) -> Result<Next, Stop> {
        let (said, counted) = (u32::from(extent.blocks), extent.counted());
        if !extent.sum_holds {
            self.faults.add(place, "its header does not match its sum");
        }
        if said != counted {
            self.faults.add(place, format!("it announces {said} blocks, and its masks have {counted}"));
            // With a sum that holds it was written like that, and the announced length leads to the next extent.
            return if extent.sum_holds { self.pass_over(input, said, place) } else { Ok(Next::Lost) };
        }
        if extent.uuid != self.uuid {
            self.faults.add(place, "it belongs to another archive");
            return self.pass_over(input, said, place);
        }
        let mut again = BTreeMap::<u8, Vec<u32>>::new();
        for slot in &extent.slots {
            let length = slot.bytes();
            let read = input.fill(&mut self.buffer[..length])?;
            if read < length {
                self.cut(place);
                return Ok(Next::Lost);
            }
            if let Next::Lost = self.slot(*slot, place, &mut again)? {
                return Ok(Next::Lost);
            }
        }
        for (device, clusters) in again {
            let name = self.disks.get(&device).map_or_else(String::new, |disk| disk.device.name.clone());
            self.faults.add(place, format!("clusters {} of {name} come a second time", ranges(&clusters)));
        }
        Ok(Next::Follows)
    }

    fn cut(&mut self, place: &str) {
        self.faults.add(place, "the archive is cut off in its blocks");
    }

    fn pass_over<R: Read>(&mut self, input: &mut Input<R>, blocks: u32, place: &str) -> Result<Next, Stop> {
        let length = u64::from(blocks) * BLOCK;
        if input.skip(length)? < length {
            self.cut(place);
            return Ok(Next::Lost);
        }
        Ok(Next::Follows)
    }

    /// One cluster, whose blocks are in the buffer.
    fn slot(&mut self, slot: Slot, place: &str, again: &mut BTreeMap<u8, Vec<u32>>) -> Result<Next, Stop> {
        let Slot { device: number, cluster, odd, .. } = slot;
        if odd {
            self.faults.add(place, format!("the slot of cluster {cluster} has bits set that have no meaning"));
        }
        let Some(disk) = self.disks.get_mut(&number) else {
            self.faults.add(place, format!("it has a cluster of device {number}, which the header does not have"));
            return Ok(Next::Follows);
        };
        if u64::from(cluster) >= disk.device.clusters() {
            let (name, count) = (&disk.device.name, disk.device.clusters());
            self.faults.add(place, format!("it has cluster {cluster} of {name}, which has {count}"));
            return Ok(Next::Follows);
        }
        match disk.seen.mark(cluster, &mut self.room) {
            Mark::New => {}
            Mark::Again => {
                again.entry(number).or_default().push(cluster);
                return Ok(Next::Follows);
            }
            Mark::Refused => {
                self.faults.add(place, "its clusters are scattered wider than those of any real disk: refused");
                return Ok(Next::Lost);
            }
        }
        let mut kept = 0;
        for (bit, block) in bits(slot.mask).zip(self.buffer[..slot.bytes()].chunks(BLOCK as usize)) {
            let at = u64::from(cluster) * CLUSTER + bit * BLOCK;
            let inside = usize::try_from(disk.device.size.saturating_sub(at)).unwrap_or(block.len()).min(block.len());
            let (block, past) = block.split_at(inside);
            if past.iter().any(|byte| *byte != 0) {
                self.faults.add(place, format!("it has data past the end of {}", disk.device.name));
            }
            kept += block.len() as u64;
            (self.sink)(&disk.device.name, at, block).map_err(Stop::Sink)?;
        }
        disk.stored += kept;
        Ok(Next::Follows)
    }

    /// Every cluster must have come.
    fn missing(&mut self) {
        for disk in self.disks.values_mut() {
            let missing = disk.seen.missing(NAMED);
            disk.missing = missing.count;
            if missing.count == 0 {
                continue;
            }
            let mut named = missing.ranges.iter().map(|(from, to)| range(*from, *to)).collect::<Vec<_>>().join(", ");
            let shown: u64 = missing.ranges.iter().map(|(from, to)| to - from).sum();
            if shown < missing.count {
                named += " and further ones";
            }
            let (count, all) = (missing.count, disk.device.clusters());
            let what = format!("{count} of {all} clusters of 64 KiB are missing: {named}");
            self.faults.add(format!("device {}", disk.device.name), what);
        }
    }
}

/// Numbers of the bits that are set, the lowest first.
fn bits(mask: u16) -> impl Iterator<Item = u64> {
    (0..16).filter(move |bit| mask & (1 << bit) != 0)
}

fn range(from: u64, to: u64) -> String {
    if to - from == 1 { from.to_string() } else { format!("{from}-{}", to - 1) }
}

/// Numbers as ranges, in the order in which they came.
fn ranges(numbers: &[u32]) -> String {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for number in numbers.iter().map(|number| u64::from(*number)) {
        match found.last_mut() {
            Some(last) if last.1 == number => last.1 += 1,
            _ => found.push((number, number + 1)),
        }
    }
    found.iter().map(|(from, to)| range(*from, *to)).collect::<Vec<_>>().join(", ")
}
