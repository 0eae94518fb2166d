//! A host of containers comes back with them: one of LXC for users of its own, and one of Podman with PostgreSQL in a volume, which is written to
//! while the host is captured. Both are paused by hooks (`scripts/hosts/containers`), so that each is as it was at one moment. Everything is real.

use std::time::Duration;

use anyhow::Context as _;
use qemu_tests::host::{Host, Layout};
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::say;
use qemu_tests::{census, place};
use serde_json::Value;
use vm::{Bus, Running};

const LIMIT: Duration = Duration::from_secs(240);
const MIB: u64 = 1 << 20;

/// The host of `scripts/hosts/containers`.
const CONTAINERS: Layout = Layout {
    name: "containers",
    disks: &[("LBHOSTA", 1900 * MIB)],
    orders: &["--disk LBNEWA=LBHOSTA"],
    ..Layout::USUAL
};

/// What Podman has, by identifiers that it would not draw twice.
const FACTS: &str = "podman inspect --format '{{.Id}} {{.Name}} {{.Image}} {{.ImageName}} {{range .Mounts}}{{.Name}}={{.Destination}} {{end}}' db
                     podman volume inspect --format '{{.Name}} {{.Mountpoint}} {{.CreatedAt}}' orders";
/// What was confirmed up to the moment that is captured, and afterwards.
const AFTER: &str = "set -e; sleep 8; echo \"paused: $(cat /run/committed.paused) $(cat /run/committed) $(cat /run/boot) $(cat /run/number.paused)\"
                     podman inspect --format '{{.State.Status}}' db; lxc-info --name web --state --no-humanize";

#[test]
fn a_host_of_containers_comes_back_with_their_data_of_one_moment() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario containers");
    let host = Host::get(CONTAINERS)?;
    let before = format!("set -e; while [ ! -s /run/committed ]; do sleep 1; done; {FACTS}");
    let captured = host.captured_amid(&before, AFTER)?;
    let answer = captured.answer()?;
    let (facts, rest) = answer.split_once("paused: ").context("the host did not say what was confirmed")?;
    let (moment, states) = rest.split_once('\n').context("the host did not say what runs")?;
    assert_eq!(states.split_whitespace().collect::<Vec<_>>(), ["running", "RUNNING"], "both go on");
    let moment: Vec<&str> = moment.split_whitespace().collect();
    let [paused, afterwards, boot, number] = moment[..] else { panic!("{moment:?}") };
    let (paused, afterwards): (u64, u64) = (paused.parse()?, afterwards.parse()?);
    assert!(paused < afterwards, "it was written to before and after: {paused}, {afterwards}");

    let folder = place::scratch("containers")?;
    let patient = Patient::new("containers", host.accel(), &folder, Bus::Sata, "LBNEWA", 2100 * MIB)?;
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    assert_eq!(outcome.report()?["differences"], Value::Array(Vec::new()));
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    assert_eq!(running.output(FACTS, LIMIT)?, facts);
    has_its_rows(&mut running, boot, paused)?;
    counts_on(&mut running, number.parse()?)?;
    let status: Value = serde_json::from_str(&running.output("lifeboat guests status --json", LIMIT)?)?;
    assert_eq!((&status["verdict"], &status["done"]), (&"restored".into(), &true.into()), "{status}");
    let differences = census::differences_but(&captured.census(1)?, &census::take(&mut running)?, |line| {
        line.contains("lifeboat-guests") || line.contains("multi-user.target.wants")
    });
    assert_eq!(differences, Vec::<String>::new());
    running.quit()?;
    say("scenario containers holds");
    Ok(())
}

/// The database: sound, and with every row up to the moment and none after it.
fn has_its_rows(running: &mut Running, boot: &str, paused: u64) -> anyhow::Result<()> {
    let up = "while ! sh /usr/local/lib/lab/ask.sh 'SELECT 1' >/dev/null 2>&1; do sleep 1; done; podman logs db 2>&1 | tail -n 20";
    let said = running.output(up, LIMIT)?;
    say(&format!("    the database answers after {} s", running.elapsed().as_secs()));
    let ask = |sql: &str| format!("sh /usr/local/lib/lab/ask.sh \"{sql}\"");
    let rows = ask(&format!("SELECT min(id), max(id), count(*) FROM entries WHERE boot = '{boot}'"));
    let rows = running.output(&rows, LIMIT)?;
    let rows: Vec<u64> =
        rows.trim().split('|').map(str::parse).collect::<Result<_, _>>().with_context(|| rows.clone())?;
    let [first, last, count] = rows[..] else { panic!("{rows:?}") };
    assert_eq!((first, count), (1, last), "none is missing: {said}");
    // What the database had done when it was paused need not have been confirmed yet.
    assert!(last == paused || last == paused + 1, "complete up to the moment: {last} rows, {paused} were confirmed");
    let drawn = running.output(&ask("SELECT last_value FROM entries_id_seq"), LIMIT)?;
    assert!(drawn.trim().parse::<u64>()? >= last, "no number is drawn twice: {drawn}");
    let checked =
        "/usr/lib/postgresql/15/bin/pg_amcheck --host /run/database --username postgres --heapallindexed postgres";
    assert_eq!(running.output(checked, LIMIT)?, "", "heap and indexes are sound");
    Ok(())
}

/// LXC's container: it runs, goes on from where it was, and its users are none of the host's.
fn counts_on(running: &mut Running, frozen: u64) -> anyhow::Result<()> {
    let number = "cat /var/lib/lxc/web/rootfs/number";
    let first: u64 = running.output(number, LIMIT)?.trim().parse()?;
    let next = format!(
        "while [ \"$({number})\" = {first} ]; do sleep 1; done; {number}; lxc-info --name web --state --no-humanize"
    );
    let next = running.output(&next, LIMIT)?;
    let (next, state) = next.split_once('\n').context("two lines")?;
    assert!(frozen <= first && next.parse::<u64>()? > first, "it counts on: {frozen}, {first}, {next}");
    assert_eq!(state.trim(), "RUNNING");
    let owner =
        running.output("stat -c '%u:%g' /var/lib/lxc/web/rootfs/bin/busybox /var/lib/lxc/web/rootfs/number", LIMIT)?;
    assert_eq!(owner, "100000:100000\n100000:100000\n");
    Ok(())
}
