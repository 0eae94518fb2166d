//! `lifeboat order`: signs consent to an unattended restore and puts it on the stick.

use jiff::{SignedDuration, Timestamp};
use layout::Guid;
use manifest::host::Container;
use manifest::{
    DiskChoice, FORMAT, HostKey, Machine, Membership, RestoreOrder, Serial, Signer, SnapshotChoice, Then, seal,
};
use vault::Vault;

use crate::cli::{After, Order};
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::medium::Stick;
use crate::reading::read_manifest;
use crate::{audit, cli};

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
        cluster: args.cluster.map(|cluster| match cluster {
            cli::Membership::Same => Membership::Same,
            cli::Membership::Removed => Membership::Removed,
            cli::Membership::Seed => Membership::Seed,
        }),
    };
    let (json, signature) = seal(&order, &key)?;
    stick.put(&format!("orders/{}.json", order.id), &json)?;
    stick.put(&format!("orders/{}.json.sig", order.id), &signature)?;
    let vault = stick.vault()?;
    audit::note(context, &vault, "order", order.id.as_str(), Exit::Done);
    let locked = locked_containers(context, &vault, &order, &key)?;
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
    for container in &locked {
        eprintln!(
            "warning: the container {} ({}) is {}: the rescue will not carry this order out",
            container.name,
            container.uuid,
            container.opened_by()
        );
    }
    Ok(if locked.is_empty() { Exit::Done } else { Exit::Warnings })
}

/// Containers of the snapshot that nothing opens unless somebody types a passphrase.
fn locked_containers(
    context: &Context,
    vault: &Vault,
    order: &RestoreOrder,
    key: &HostKey,
) -> anyhow::Result<Vec<Container>> {
    let serial = match order.snapshot {
        SnapshotChoice::Serial(serial) => Some(serial),
        SnapshotChoice::Latest => vault.serials(order.host_name.as_str())?.into_iter().max().map(Serial),
    };
    let trusted = [vec![Signer::from(key.public())], context.state.trusted()?].concat();
    // A snapshot that is not there yet, or that is refused, is the rescue's to judge.
    let manifest = serial.and_then(|serial| read_manifest(vault, &order.host_name, serial, &trusted).ok());
    let host = manifest.as_ref().and_then(|manifest| manifest.host.as_ref());
    let containers = host.into_iter().flat_map(|host| &host.containers);
    Ok(containers.filter(|container| !container.is_unattended()).cloned().collect())
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
