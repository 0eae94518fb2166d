//! Consent: a signed order that covers exactly this, or the disks' serial numbers typed by a person. Silence means no.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use layout::matching::{Choice, NO_DISK};
use layout::plan::Plan;
use manifest::{Attempt, RestoreOrder, Serial, SnapshotChoice, Then, TrustRoot, Unverified, Verified};
use serde_json::json;

use crate::kernel::End;
use crate::screen::{Answer, Screen, Stage};
use crate::stick::{Stick, write_durably};
use crate::stop::{Code, OrStop, Result, Stop};
use crate::trust::Trusted;
use crate::wake::Awake;

/// Wrong answers before the rescue stops.
const TRIES: usize = 3;

/// A signed order on the stick.
pub struct Order {
    /// The order.
    pub order: Verified<RestoreOrder>,
    /// Its mark of use.
    used: PathBuf,
}

/// What the person decided.
pub enum Typed {
    /// All serial numbers were typed.
    Consent,
    /// Another snapshot is wanted.
    Other(Serial),
    /// Power off, by word or by silence.
    No,
}

/// Orders on the stick whose signature holds, by name. The others are named on the screen and passed over.
pub fn orders(screen: &Screen, stick: &Stick, root: &TrustRoot) -> Vec<Order> {
    let entries = fs::read_dir(stick.data("orders")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort_unstable();
    let mut orders = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read =
            || Ok::<_, std::io::Error>((fs::read(&path)?, fs::read(path.with_file_name(format!("{name}.sig")))?));
        let order = read().map_err(|error| error.to_string()).and_then(|(json, signature)| {
            Unverified { json: &json, signature: &signature }
                .verify::<RestoreOrder>(&root.signers)
                .map_err(|e| e.to_string())
        });
        match order {
            Ok(order) => {
                // By the signed name, so that a renamed copy is the same order.
                let used = stick.data("orders").join(format!("{}.used", order.id));
                orders.push(Order { order, used });
            }
            Err(error) => screen.say(&format!("The order {name} does not count: {error}")),
        }
    }
    orders
}

impl Order {
    /// The snapshot that it restores.
    pub fn snapshot(&self, trusted: &Trusted) -> Serial {
        match self.order.snapshot {
            SnapshotChoice::Latest => trusted.newest(),
            SnapshotChoice::Serial(serial) => serial,
        }
    }

    /// The disks that it names, for the planner.
    pub fn choices(&self) -> Vec<Choice> {
        let disks = self.order.disks.iter();
        disks.map(|disk| Choice { target: disk.target.clone(), recorded: disk.recorded.clone() }).collect()
    }

    /// Whether it covers a plan, or as much of it as is known: without a plan its own disks stand for the plan's. `again`: what is
    /// to be done is the rest of the attempt that it was used for.
    ///
    /// # Errors
    /// What it does not cover, for people.
    pub fn covers(&self, awake: &Awake, trusted: &Trusted, plan: Option<&Plan>, again: bool) -> Result<(), String> {
        let targets = || self.order.disks.iter().map(|disk| disk.target.as_str());
        let own = || targets().filter(|target| *target != NO_DISK).map(Some).collect();
        let attempt = Attempt {
            stick: &awake.root.stick,
            host_name: &awake.root.host_name,
            product: awake.product.as_deref(),
            targets: plan.map_or_else(own, |plan| plan.target_names().collect()),
            snapshot: self.snapshot(trusted),
            newest: trusted.newest(),
            now: Timestamp::now(),
            used: self.used.exists() && !again,
        };
        self.order.covers(&attempt).map_err(|fault| format!("The order {} does not cover this: {fault}", self.order.id))
    }

    /// Uses it up, on the medium, before the first write to a target. The data partition must be writable.
    ///
    /// # Errors
    /// When the stick cannot be written: then nothing may be restored by this order.
    pub fn mark_used(&self, awake: &Awake) -> Result<()> {
        let mark = json!({"order": self.order.id, "begun": Timestamp::now(), "machine": awake.product});
        let advice = "Free some space on the stick, or remove its write protection, and start again.";
        write_durably(&self.used, format!("{mark}\n").as_bytes()).or_stop(
            Code::NoSpace,
            format!("marking the order {} as used", self.order.id),
            advice,
        )
    }

    /// What the machine does after the restore.
    pub fn then(&self) -> End {
        match self.order.then {
            Then::Reboot => End::Reboot,
            Then::PowerOff => End::PowerOff,
        }
    }
}

/// Asks for the serial numbers of all targets.
///
/// # Errors
/// 31 after too many wrong answers.
pub fn ask(screen: &Screen, trusted: &Trusted, plan: &Plan, current: Serial) -> Result<Typed> {
    screen.stage(Stage::Consent);
    let wanted: BTreeSet<&str> = plan.disks.iter().map(|disk| disk.target.handle()).collect();
    screen.say(
        "To overwrite these disks, type the serial number of every disk in the plan, with spaces between them; of a disk that has none its world \
         wide name, or else its name here. `off` powers off, `s` is a shell.",
    );
    if trusted.snapshots.len() > 1 {
        screen.say("`snapshots` lists all snapshots, `snapshot N` chooses one.");
    }
    let mut tries = 0;
    while tries < TRIES {
        let Answer::Line(line) = screen.ask("serial", "Serial number: ", false) else { return Ok(Typed::No) };
        let words: BTreeSet<&str> = line.split_whitespace().collect();
        match line.as_str() {
            "" => continue,
            "off" => return Ok(Typed::No),
            "snapshots" => {
                list(screen, trusted);
                continue;
            }
            // A serial number may hold blanks: the whole line counts as one as well.
            whole if words == wanted || wanted == BTreeSet::from([whole]) => return Ok(Typed::Consent),
            _ => {}
        }
        if let Some(number) = line.strip_prefix("snapshot ").and_then(|number| number.trim().parse().ok()) {
            match trusted.snapshot(Serial(number)) {
                Some(_) if Serial(number) == current => screen.say("That is the one in the plan above."),
                Some(_) => return Ok(Typed::Other(Serial(number))),
                None => screen.say(&format!("There is no snapshot {number}.")),
            }
            continue;
        }
        tries += 1;
        screen.say("That is not the serial number of the disks in the plan. Nothing has been written.");
    }
    Err(Stop::new(
        Code::Approval,
        format!("{TRIES} answers were not the serial numbers of the disks in the plan"),
        "Compare the number on the disk's label with the plan and start again.",
    ))
}

fn list(screen: &Screen, trusted: &Trusted) {
    for snapshot in &trusted.snapshots {
        let totals = &snapshot.contents.totals;
        let when = snapshot.finished.strftime("%Y-%m-%d %H:%M UTC");
        screen.say(&format!(
            "  {:>5}  {when}  {} entries, {}",
            snapshot.serial.0,
            totals.entries,
            layout::Bytes(totals.bytes)
        ));
    }
}
