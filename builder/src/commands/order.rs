//! `lifeboat order`: signs consent to an unattended restore and puts it on the stick.

use jiff::{SignedDuration, Timestamp};
use layout::Guid;
use manifest::{DiskChoice, FORMAT, Machine, RestoreOrder, Serial, SnapshotChoice, Then, seal};

use crate::audit;
use crate::cli::{After, Order};
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::medium::Stick;

/// Runs the command.
///
/// # Errors
/// When there is no stick (10), an argument is not valid (2), or writing fails.
pub fn run(context: &Context, args: &Order) -> anyhow::Result<Exit> {
    let key = context.state.host_key()?;
    let stick = Stick::open(context, args.stick.as_deref())?;
    let now = Timestamp::now();
    let order = RestoreOrder {
        format: FORMAT,
        // To the microsecond: two orders of one second are two orders.
        id: format!("order-{}", now.strftime("%Y%m%dT%H%M%S-%6fZ")).parse()?,
        stick: stick.guid().clone(),
        host_name: context.config.host_name()?,
        machine: machine(&args.machine)?,
        disks: args.disks.iter().map(|text| disk(text)).collect::<anyhow::Result<_>>()?,
        snapshot: snapshot(&args.snapshot)?,
        created: now,
        expires: now.checked_add(SignedDuration::from_secs(args.expires))?,
        then: match args.then {
            After::Reboot => Then::Reboot,
            After::PowerOff => Then::PowerOff,
        },
    };
    let (json, signature) = seal(&order, &key)?;
    stick.put(&format!("orders/{}.json", order.id), &json)?;
    stick.put(&format!("orders/{}.json.sig", order.id), &signature)?;
    audit::note(context, &stick.vault()?, "order", order.id.as_str(), Exit::Done);
    stick.close()?;
    context.print(&order, || {
        format!(
            "order {} is on the stick: until {}, one attempt, on {}, it lets the rescue overwrite {} without asking",
            order.id,
            order.expires,
            args.machine,
            args.disks.join(", ")
        )
    })?;
    Ok(Exit::Done)
}

fn machine(text: &str) -> anyhow::Result<Machine> {
    if text == "any" {
        return Ok(Machine::Any);
    }
    match Guid::new(text) {
        Ok(guid) => Ok(Machine::Product(guid.as_str().to_ascii_lowercase())),
        Err(error) => Err(refusal(Exit::Usage, format!("--machine: {error}, nor is it `any`"))),
    }
}

fn disk(text: &str) -> anyhow::Result<DiskChoice> {
    let (target, recorded) = match text.split_once('=') {
        Some((target, recorded)) => (target, Some(recorded)),
        None => (text, None),
    };
    if target.trim().is_empty() || recorded.is_some_and(|serial| serial.trim().is_empty()) {
        return Err(refusal(Exit::Usage, format!("--disk {text:?}: a serial number is wanted, or SERIAL=RECORDED")));
    }
    Ok(DiskChoice { target: target.trim().to_owned(), recorded: recorded.map(|serial| serial.trim().to_owned()) })
}

fn snapshot(text: &str) -> anyhow::Result<SnapshotChoice> {
    if text == "latest" {
        return Ok(SnapshotChoice::Latest);
    }
    match text.parse() {
        Ok(serial) => Ok(SnapshotChoice::Serial(Serial(serial))),
        Err(_) => Err(refusal(Exit::Usage, format!("--snapshot {text:?}: `latest` or a number is wanted"))),
    }
}
