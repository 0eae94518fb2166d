//! A host's filesystems stand still while they are read. Files are changed in lockstep the whole time: what is captured of them is of one moment, of
//! classic and of thin volumes, of ext4 and of XFS. No snapshot stays, a killed run's is removed by the next, and one that is full is noticed.

use std::time::Duration;

use anyhow::Context as _;
use qemu_tests::host::Host;
use qemu_tests::layouts::LVM;
use qemu_tests::place;
use qemu_tests::scenario::say;
use serde_json::Value;
use vm::Running;

const LIMIT: Duration = Duration::from_secs(120);
const BACKUP: Duration = Duration::from_secs(600);

/// Where two files lie, the first and the last that are read of their filesystem.
const PAIRS: [&str; 4] = ["", "/home", "/srv/guests", "/srv/store"];
/// What is large and of no interest here is left out. The vault lies in memory.
const MAKE_READY: &str = r#"
set -e
# The host's own snapshot of /home has little room, and would be full.
lvremove -qq -y store/before
mkdir -p /etc/lifeboat
printf 'version = 1\nblocks = ["/dev/store/raw", "/dev/pve/vm-*"]\nexclude = ["/usr", "/boot/*", "/var/lib/dpkg", "/var/lib/apt", "/var/log"]\n' >/etc/lifeboat/config.toml
mount -t tmpfs -o size=400M tmpfs /mnt
lifeboat init --vault /mnt/vault --identity /mnt/id.txt --yes >/dev/null 2>&1
# A folder that is mounted over itself, as Podman's storage is.
mkdir /srv/store
mount --bind /srv/store /srv/store
head -c 40M /dev/urandom >/srv/guests/filler
head -c 30M /dev/urandom >/home/filler
for place in "" /home /srv/guests /srv/store; do echo 000000000 >$place/aa; echo 000000000 >$place/zz; done
cat >/mnt/writer.sh <<'END'
n=0
while :; do
    n=$((n + 1))
    for place in "" /home /srv/guests /srv/store; do
        printf %09d $n 1<>$place/aa
        printf %09d $n 1<>$place/zz
    done
done
END
setsid sh /mnt/writer.sh >/dev/null 2>&1 </dev/null &
"#;
const OURS: &str = "lvs --noheadings -o lv_name 2>/dev/null | grep -c lifeboat-snap- || true";
/// Begins a backup, with something to read, and gives its number when all five snapshots are taken and shown.
const IN_BACKGROUND: &str = "head -c 40M /dev/urandom >/srv/guests/filler; setsid lifeboat backup --vault /mnt/vault --json >/mnt/said 2>/mnt/err </dev/null & \
    while [ $(lvs --noheadings -o lv_name 2>/dev/null | grep -c 'lifeboat-snap-[0-9a-f]') -lt 5 ]; do sleep 0.2; done; \
    while ! grep -q ' /run/lifeboat-still/srv/twice ' /proc/$(pidof lifeboat)/mountinfo; do sleep 0.1; done; pidof lifeboat";

/// What a backup said, and how it ended.
fn backup(running: &mut Running) -> anyhow::Result<(i32, Value)> {
    let answer = running.run("lifeboat backup --vault /mnt/vault --json 2>/mnt/err", BACKUP)?;
    let words = running.output("cat /mnt/err", LIMIT)?;
    let mut said: Value = serde_json::from_str(&answer.text()).with_context(|| format!("{}{words}", answer.text()))?;
    // For whoever reads why a test failed.
    said["stderr"] = words.into();
    Ok((answer.status, said))
}

/// By how much the second of each pair lags behind the first in the newest snapshot.
fn lags(running: &mut Running) -> anyhow::Result<Vec<i64>> {
    let files: Vec<String> = PAIRS.iter().flat_map(|place| [format!("{place}/aa"), format!("{place}/zz")]).collect();
    let names = files.join(" ").replace(" /", " ");
    let extract = format!(
        "rm -rf /mnt/out; lifeboat extract --vault /mnt/vault --identity /mnt/id.txt latest {} --to /mnt/out >/dev/null 2>&1; cd /mnt/out && cat {}",
        names.trim_start_matches('/'),
        names.trim_start_matches('/'),
    );
    let text: String = running.output(&extract, LIMIT)?.split_whitespace().collect();
    let digits = |from: usize| text.get(from..from + 9).unwrap_or_default().parse::<i64>();
    (0..PAIRS.len()).map(|at| Ok(digits(18 * at)? - digits(18 * at + 9)?)).collect()
}

fn consistency(running: &mut Running) -> anyhow::Result<Vec<(String, String)>> {
    let shown: Value = serde_json::from_str(&running.output("lifeboat show --vault /mnt/vault --json latest", LIMIT)?)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let sources = shown["sources"].as_array().cloned().unwrap_or_default();
    Ok(sources.iter().map(|source| (text(&source["path"]), text(&source["consistency"]))).collect())
}

#[test]
fn what_is_captured_of_a_busy_host_is_of_one_moment() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario still");
    let host = Host::get(LVM)?;
    let folder = place::scratch("still")?;
    let mut running = host.equipped("still", &folder, Vec::new())?;
    running.output(MAKE_READY, LIMIT)?;

    // Without snapshots the pairs are torn: else this would prove nothing.
    running.output("sed -i '1a snapshots = \"never\"' /etc/lifeboat/config.toml", LIMIT)?;
    backup(&mut running)?;
    let torn = lags(&mut running)?;
    assert!(torn[0] < -1 && torn[2] < -1, "the second is read later, and is ahead: {torn:?}");
    assert!(consistency(&mut running)?.iter().all(|(_, how)| how == "live"));
    running.output("sed -i /snapshots/d /etc/lifeboat/config.toml", LIMIT)?;

    let (status, said) = backup(&mut running)?;
    assert_eq!((status, &said["problems"]), (0, &Value::Array(Vec::new())), "{said}");
    let lag = lags(&mut running)?;
    let how = consistency(&mut running)?;
    assert!(lag.iter().all(|lag| matches!(lag, 0 | 1)), "each pair is of one moment: {lag:?}; {how:?}; {said}");
    let wanted = [
        ("/", "snapshot"),
        ("/boot/efi", "live"),
        ("/home", "snapshot"),
        ("/srv/fast", "snapshot"),
        ("/srv/guests", "snapshot"),
        ("/srv/twice", "snapshot"),
    ];
    assert_eq!(how, wanted.map(|(path, how)| (path.to_owned(), how.to_owned())));
    assert_eq!(running.output(OURS, LIMIT)?.trim(), "0", "no snapshot stays");
    let volumes = running.output("lifeboat show --vault /mnt/vault --json latest", LIMIT)?;
    assert!(!volumes.contains("lifeboat-snap"), "the layout has none of them");
    say("    each pair is of one moment");

    // A file that was not touched is known again, though it is read through another device each time.
    let (status, said) = backup(&mut running)?;
    let (entries, unchanged) = (said["entries"].as_u64(), said["unchanged"].as_u64());
    assert_eq!(status, 0, "{said}");
    let new = entries.zip(unchanged).map(|(entries, unchanged)| entries - unchanged).context("no numbers")?;
    assert!(new < 60, "the writer's files and a few of the system's are new, not {new}: {said}");

    killed(&mut running)?;
    full(&mut running)?;
    running.quit()?;
    say("scenario still holds");
    Ok(())
}

/// A killed run leaves its snapshots, doctor or the next run removes them, and nobody touches what has a similar name.
fn killed(running: &mut Running) -> anyhow::Result<()> {
    running.output("lvcreate -qq -y -s -n lifeboat-snap-mine -L 16M store/fast", LIMIT)?;
    running.output(&format!("{IN_BACKGROUND}; kill -9 $(pidof lifeboat)"), LIMIT)?;
    assert_ne!(running.output(OURS, LIMIT)?.trim(), "1", "a killed run leaves some beside the other");
    let said = running.run("lifeboat doctor", BACKUP)?.text();
    assert!(said.contains("which a run that was cut had left, was removed"), "{said}");
    assert_eq!(running.output(OURS, LIMIT)?.trim(), "1");
    running.output(&format!("{IN_BACKGROUND}; kill -9 $(pidof lifeboat)"), LIMIT)?;
    let (status, said) = backup(running)?;
    assert_eq!(status, 0, "{said}");
    assert_eq!(running.output(OURS, LIMIT)?.trim(), "1", "the next run has removed what the killed one left");
    let others = running.output("lvs --noheadings -o lv_name 2>/dev/null", LIMIT)?;
    assert!(others.contains("lifeboat-snap-mine"), "{others}");
    running.output("lvremove -qq -y store/lifeboat-snap-mine", LIMIT)?;
    say("    a killed run's snapshots are removed");
    Ok(())
}

/// More is written than a snapshot has room for, while the run sleeps.
fn full(running: &mut Running) -> anyhow::Result<()> {
    let overflow = format!(
        "pid=$({IN_BACKGROUND}); kill -STOP $pid; dd if=/dev/zero of=/var/tmp/large bs=1M count=300 conv=fsync 2>/dev/null; kill -CONT $pid; \
         while [ -d /proc/$pid ]; do sleep 0.5; done; rm /var/tmp/large; cat /mnt/said"
    );
    let said: Value = serde_json::from_str(&running.output(&overflow, BACKUP)?)?;
    let problems = said["problems"].to_string();
    assert!(
        problems.contains("/: more was written to it than its snapshot had room for; it was read again, live"),
        "{said}"
    );
    let how = consistency(running)?;
    assert!(how.contains(&("/".to_owned(), "live".to_owned())), "{how:?}");
    assert!(how.contains(&("/home".to_owned(), "snapshot".to_owned())), "{how:?}");
    let lag = lags(running)?;
    // The folder that is mounted over itself is a part of `/`.
    assert!(lag[1..3].iter().all(|lag| matches!(lag, 0 | 1)), "the others are of one moment: {lag:?}");
    assert_eq!(running.output(OURS, LIMIT)?.trim(), "0");
    say("    a snapshot that is full is noticed");
    Ok(())
}
