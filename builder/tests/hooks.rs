//! Hooks around a capture, from outside: when which is run, with what, and what a failure means.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod keeper;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use keeper::Site;

const BACKUP: &[&str] = &["backup", "--vault", "vault", "--source", "tree"];

/// A site with this configuration beside the host's name.
fn site(config: &str) -> Site {
    let site = Site::new();
    configure(&site, config);
    site
}

fn configure(site: &Site, config: &str) {
    let file = site.path("config.toml");
    fs::write(&file, format!("version = 1\nhost_name = \"host\"\n{config}")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
}

/// A hook whose commands write their phase, name and environment into `log`.
fn teller(name: &str) -> String {
    let line = |phase: &str| {
        format!(
            "{phase} = 'echo {name} $LIFEBOAT_PHASE host=$LIFEBOAT_HOST vault=$LIFEBOAT_VAULT \
             snapshot=$LIFEBOAT_SNAPSHOT exit=$LIFEBOAT_EXIT >>log'\n"
        )
    };
    format!("[[hook]]\nname = \"{name}\"\n{}{}{}", line("before"), line("after"), line("failed"))
}

fn log(site: &Site) -> String {
    fs::read_to_string(site.path("log")).unwrap_or_default()
}

#[test]
fn hooks_run_in_order_and_back_and_know_what_goes_on() {
    let site = site(&(teller("one") + &teller("two")));
    // Read after `before`: what a hook leaves in the tree is in the snapshot.
    configure(
        &site,
        &(teller("one") + &teller("two") + "[[hook]]\nname = \"put\"\nbefore = [\"cp\", \"log\", \"tree/seen\"]\n"),
    );
    site.ok(BACKUP);
    assert_eq!(
        log(&site),
        "one before host=host vault=vault snapshot= exit=\n\
         two before host=host vault=vault snapshot= exit=\n\
         two after host=host vault=vault snapshot=1 exit=0\n\
         one after host=host vault=vault snapshot=1 exit=0\n"
    );
    site.extract("latest", &["seen"], "out");
    assert_eq!(fs::read_to_string(site.path("out/seen")).unwrap().lines().count(), 2);
}

#[test]
fn still_is_run_once_before_after_whatever_came_of_the_capture() {
    let hook = |still: &str| {
        let line = |phase: &str| format!("{phase} = 'echo $LIFEBOAT_PHASE >>log'\n");
        format!("[[hook]]\nname = \"db\"\n{}{still}{}", line("before"), line("after"))
    };
    let site = site(&hook("still = 'echo $LIFEBOAT_PHASE >>log; cp log tree/seen'\n"));
    site.ok(BACKUP);
    assert_eq!(log(&site), "before\nstill\nafter\n");
    site.extract("latest", &[], "out");
    assert!(!site.path("out/seen").exists(), "a tree is read live, and `still` waits until it is");
    fs::remove_file(site.path("log")).unwrap();
    site.ends(1, &["backup", "--vault", "vault", "--source", "no-such-tree"]);
    assert_eq!(log(&site), "before\nstill\nafter\n");
    configure(&site, &hook("still = 'exit 5'\n"));
    let said = site.ends(3, &[BACKUP, &["--json"]].concat());
    assert!(said.contains("\"hook db: still: ended with exit status: 5\""), "{said}");
}

#[test]
fn a_run_that_fails_runs_after_and_then_failed() {
    let site = site(&teller("db"));
    site.ends(1, &["backup", "--vault", "vault", "--source", "no-such-tree"]);
    assert_eq!(
        log(&site),
        "db before host=host vault=vault snapshot= exit=\n\
         db after host=host vault=vault snapshot= exit=1\n\
         db failed host=host vault=vault snapshot= exit=1\n"
    );
    // Without a vault nothing has begun, and the alarm is raised all the same.
    fs::remove_file(site.path("log")).unwrap();
    site.ends(10, &["backup", "--vault", "no-such-vault", "--source", "tree"]);
    assert_eq!(log(&site), "db failed host=host vault=no-such-vault snapshot= exit=10\n");
}

#[test]
fn a_before_that_must_not_fail_ends_the_run_and_what_was_begun_is_ended() {
    let refuse = "[[hook]]\nname = \"no\"\nbefore = 'echo \"not today\" >&2; exit 7'\nafter = 'echo no after >>log'\non = \"fail\"\n";
    let site = site(&(teller("one") + refuse + &teller("two")));
    site.refused(1, &["hook no: before", "exit status: 7", "not today", "nothing was captured"], BACKUP);
    let log = log(&site);
    let phases: Vec<_> = log.lines().map(|line| line.split(" host").next().unwrap()).collect();
    assert_eq!(phases, ["one before", "one after", "one failed", "two failed"]);
    assert!(site.serials().is_empty());
    assert!(site.audit().contains("failed"));
}

#[test]
fn a_before_that_may_fail_is_named_in_the_manifest_without_its_words() {
    let fault = "[[hook]]\nname = \"db\"\nbefore = 'echo password=hunter2 >&2; exit 7 # secret-in-argv'\nafter = 'echo after >>log'\n";
    let site = site(fault);
    site.refused(3, &["warning: `hook db: before` ended with exit status: 7: password=hunter2"], BACKUP);
    assert_eq!(log(&site), "", "its `before` failed, so nothing is owed");
    let shown = site.json(&["show", "--vault", "vault"]).to_string();
    assert!(shown.contains("hook db: before") && shown.contains("ended with exit status: 7"), "{shown}");
    for folder in ["manifests", "audit"] {
        for object in site.objects(folder) {
            let text = String::from_utf8_lossy(&fs::read(site.path("vault").join(&object)).unwrap()).into_owned();
            assert!(!text.contains("hunter2") && !text.contains("secret-in-argv"), "{object}");
        }
    }
}

#[test]
fn an_after_that_fails_leaves_the_snapshot_and_is_said() {
    let after = |on: &str| format!("[[hook]]\nname = \"db\"\nafter = 'exit 5'\non = \"{on}\"\n");
    let site = site(&after("warn"));
    let said = site.ends(3, &[BACKUP, &["--json"]].concat());
    assert!(said.contains("\"hook db: after: ended with exit status: 5\""), "{said}");
    configure(&site, &after("fail"));
    site.ends(1, BACKUP);
    assert_eq!(site.serials(), [1, 2]);
    assert_eq!(site.audit().matches("hook db: after failed").count(), 2);
    site.verify();
}

#[test]
fn after_may_use_the_vault() {
    let program = env!("CARGO_BIN_EXE_lifeboat");
    let config = format!(
        "[[hook]]\nname = \"copy\"\nafter = [\"{program}\", \"copy\", \"--from\", \"vault\", \"--to\", \"copy\"]\n"
    );
    let site = site(&config);
    site.ok(BACKUP);
    site.ok(&["verify", "--vault", "copy"]);
}

#[test]
fn a_limit_ends_the_command_and_its_children() {
    let site = site("[[hook]]\nname = \"slow\"\nbefore = 'sleep 300 & echo $! >pid; wait'\nlimit = \"1s\"\n");
    let began = Instant::now();
    site.refused(3, &["hook slow: before", "was stopped after 1 s"], BACKUP);
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_gone(&site, "pid");
}

/// The process whose number is in a file has ended.
fn assert_gone(site: &Site, file: &str) {
    let pid = fs::read_to_string(site.path(file)).unwrap();
    let process = format!("/proc/{}/status", pid.trim());
    for _ in 0..100 {
        // One that nobody has waited for is as dead.
        if fs::read_to_string(&process).map_or(true, |status| status.contains("State:\tZ")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("process {pid} is still there");
}

#[test]
fn a_signal_ends_the_run_and_what_was_begun_is_put_in_order() {
    for (signal, config, ready) in [
        ("TERM", "[[stream]]\nname = \"slow\"\ncommand = 'sleep 300 & echo $! >pid; wait'\n", "pid"),
        ("INT", "[[hook]]\nname = \"wait\"\nbefore = 'sleep 300 & echo $! >pid; wait'\n", "pid"),
    ] {
        let site = site(&(teller("db") + config));
        let child = site.command(BACKUP).spawn().unwrap();
        for _ in 0..500 {
            if fs::read_to_string(site.path(ready)).is_ok_and(|pid| !pid.is_empty()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        assert_gone(&site, "pid");
        let log = log(&site);
        let phases: Vec<_> = log.lines().map(|line| line.split(" host").next().unwrap()).collect();
        assert_eq!(phases, ["db before", "db after", "db failed"], "{signal}");
        assert!(site.serials().is_empty());
        configure(&site, "");
        site.ok(BACKUP);
        site.verify();
    }
}

#[test]
fn nothing_is_run_for_a_plan_or_where_it_is_switched_off() {
    let site = site(&(teller("db") + "[[stream]]\nname = \"a.sql\"\ncommand = 'echo x; echo ran >>log'\n"));
    let plan = site.ok(&[BACKUP, &["--dry-run"]].concat());
    for line in ["would run the hook db before", "as /a.sql", "would run the hook db after"] {
        assert!(plan.contains(line), "{plan}");
    }
    assert!(!plan.contains("echo"), "{plan}");
    site.ok(&[BACKUP, &["--no-hooks"]].concat());
    assert_eq!(log(&site), "");
    site.refused(
        1,
        &["nothing of that name"],
        &["extract", "--vault", "vault", "--identity", "id.txt", "--to", "out", "latest", "a.sql"],
    );
}

#[test]
fn a_configuration_that_others_may_write_runs_nothing() {
    let site = site(&teller("db"));
    fs::set_permissions(site.path("config.toml"), fs::Permissions::from_mode(0o646)).unwrap();
    site.refused(2, &["others may write it", "chmod go-w"], BACKUP);
    assert_eq!(log(&site), "");
    configure(&site, "[[hook]]\nname = \"db\"\nbefor = \"x\"\n");
    site.refused(2, &["`befor` in [[hook]]", "did you mean `before`?"], BACKUP);
}
