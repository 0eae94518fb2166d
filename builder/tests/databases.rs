//! The profiles for databases, with the real servers: rows are written while the capture runs, the dump is taken out of the snapshot and loaded
//! into a fresh server, and what was written together is there together.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod keeper;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keeper::Site;

const TREE: &[&str] = &["backup", "--vault", "vault", "--source", "tree"];

/// Orders with three items each, whose sum is the order's total; an order without its items, or with another total, must not be seen.
const SCHEMA: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER NOT NULL);
    CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), amount INTEGER NOT NULL);";
const BROKEN: &str = "SELECT count(*) FROM orders o WHERE total <> (SELECT coalesce(sum(amount), 0) FROM items i WHERE i.order_id = o.id)
    OR 3 <> (SELECT count(*) FROM items i WHERE i.order_id = o.id);";
const ORPHANS: &str = "SELECT count(*) FROM items WHERE order_id NOT IN (SELECT id FROM orders);";

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A program as the server's own user, where we are root and may become it.
fn as_user(user: &str, program: impl AsRef<Path>) -> Command {
    if !is_root() {
        return Command::new(program.as_ref());
    }
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]).arg(program.as_ref());
    command
}

fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A site with the profile in its configuration, and a folder that the server's user may write.
fn site(profile: &str, change: impl Fn(String) -> String) -> Site {
    let site = Site::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/profiles").join(profile);
    let mut text = change(fs::read_to_string(file).unwrap());
    if !is_root() {
        text = text.replace("\"runuser\", \"-u\", \"postgres\", \"--\", ", "");
    }
    fs::write(site.path("config.toml"), format!("version = 1\nhost_name = \"host\"\n{text}")).unwrap();
    fs::set_permissions(site.path("config.toml"), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(site.path(""), Permissions::from_mode(0o711)).unwrap();
    fs::create_dir(site.path("home")).unwrap();
    site
}

/// A folder of the site that belongs to the server's user.
fn folder(site: &Site, user: &str, name: &str) -> PathBuf {
    let folder = site.path(name);
    fs::create_dir(&folder).unwrap();
    if is_root() {
        assert!(Command::new("chown").arg(format!("{user}:")).arg(&folder).status().unwrap().success());
    }
    folder
}

/// A process that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, log: &Path) -> Self {
        use std::os::unix::process::CommandExt as _;
        let log = File::create(log).unwrap();
        let errors = log.try_clone().unwrap();
        Self(command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // `runuser` stands between us and the server.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..600 {
        if ready() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}");
}

/// Feeds one transaction after the other to a client, from order `n` = 1 on, until it is dropped.
fn writer(site: &Site, client: &str) -> Running {
    let feed = "n=0; while :; do n=$((n+1)); a=$((n % 7)); printf 'BEGIN; INSERT INTO orders VALUES (%d, %d);\\n' $n $((3 * a + 3)); \
         for k in 0 1 2; do printf 'INSERT INTO items VALUES (%d, %d, %d);\\n' $((n * 3 + k)) $n $((a + k)); done; echo 'COMMIT;'; sleep 0.002; done";
    // With the environment that the site's programs have.
    let environment: Vec<_> =
        site.command(&[]).get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    let mut command = Command::new("sh");
    command.envs(environment.into_iter().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(site.path("")).args(["-c", &format!("{{ {feed}; }} | {client}")]);
    Running::start(&mut command, &site.path("writer.log"))
}

/// Captures while `writer` works, and puts the stream's file at `out/<name>`.
fn capture(site: &Site, name: &str) -> PathBuf {
    site.ok(TREE);
    site.verify();
    site.extract("latest", &[name], "out");
    site.path("out").join(name)
}

fn newest_server() -> PathBuf {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .expect("postgresql is among scripts/databases/packages.txt")
        .map(|entry| entry.unwrap().path().join("bin"))
        .collect();
    versions.sort();
    versions.pop().unwrap()
}

struct Postgres {
    folder: PathBuf,
    _server: Running,
}

impl Postgres {
    fn start(site: &Site, name: &str) -> Self {
        let folder = folder(site, "postgres", name);
        let data = folder.join("data");
        let bin = newest_server();
        done(
            as_user("postgres", bin.join("initdb"))
                .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
                .arg(&data)
                .current_dir("/"),
        );
        let mut server = as_user("postgres", bin.join("postgres"));
        server
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder)
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .current_dir("/");
        let server = Running::start(&mut server, &site.path(&format!("{name}.log")));
        let postgres = Self { folder, _server: server };
        until("PostgreSQL does not answer", || {
            postgres.client().args(["-c", "SELECT 1"]).output().unwrap().status.success()
        });
        postgres
    }

    fn client(&self) -> Command {
        let mut client = Command::new("psql");
        client.args(["-q", "-A", "-t", "-U", "postgres", "-h"]).arg(&self.folder);
        client
    }

    fn ask(&self, database: &str, query: &str) -> String {
        done(self.client().args(["-d", database, "-c", query]))
    }
}

#[test]
fn postgresql_is_dumped_while_it_is_written_and_comes_back_whole() {
    let mut site = site("postgresql.toml", |text| text);
    let server = Postgres::start(&site, "server");
    site.set("PGHOST", server.folder.clone());
    site.set("PGUSER", "postgres");
    server.ask("postgres", "CREATE ROLE shop LOGIN");
    server.ask("postgres", "CREATE DATABASE app OWNER shop");
    server.ask("app", SCHEMA);
    let writer = writer(&site, "psql -q -d app");
    until("no rows are written", || server.ask("app", "SELECT count(*) FROM orders") != "0");
    let dump = capture(&site, "postgresql/all.sql");
    let written: u64 = server.ask("app", "SELECT count(*) FROM orders").parse().unwrap();
    drop(writer);
    drop(server);
    let fresh = Postgres::start(&site, "fresh");
    done(fresh.client().args(["-d", "postgres", "-o", "/dev/null", "-f"]).arg(dump));
    let restored: u64 = fresh.ask("app", "SELECT count(*) FROM orders").parse().unwrap();
    assert!(restored > 0 && restored <= written, "{restored} of {written}");
    assert_eq!((fresh.ask("app", BROKEN), fresh.ask("app", ORPHANS)), ("0".into(), "0".into()));
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'app'";
    assert_eq!(fresh.ask("postgres", owner), "shop");
    assert_eq!(fresh.ask("app", "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"), "1");
    // With the server gone there is no dump, and by the profile no snapshot.
    site.refused(1, &["postgresql/all.sql", "its command ended with exit status"], TREE);
}

#[test]
fn mariadb_is_dumped_while_it_is_written_and_comes_back_whole() {
    let site = site("mariadb.toml", |text| text);
    let start = |name: &str| {
        let folder = folder(&site, "mysql", name);
        let data = folder.join("data");
        let datadir = format!("--datadir={}", data.display());
        let mut install = as_user("mysql", "mariadb-install-db");
        done(
            install
                .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &datadir])
                .current_dir("/"),
        );
        let socket = folder.join("socket");
        let mut server = as_user("mysql", "/usr/sbin/mariadbd");
        server
            .args(["--no-defaults", &datadir, "--skip-networking", "--innodb-flush-log-at-trx-commit=0"])
            .current_dir("/");
        server
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()));
        let server = Running::start(&mut server, &site.path(&format!("{name}.log")));
        fs::write(site.path("home/.my.cnf"), format!("[client]\nuser=root\nsocket={}\n", socket.display())).unwrap();
        until("MariaDB does not answer", || client(&site).args(["-e", "SELECT 1"]).output().unwrap().status.success());
        server
    };
    fn client(site: &Site) -> Command {
        let mut client = Command::new("mariadb");
        client.env("HOME", site.path("home")).args(["-N", "-B"]);
        client
    }
    let ask = |query: &str| done(client(&site).args(["-e", query]));
    let server = start("server");
    ask(&format!("CREATE DATABASE app; USE app; {SCHEMA}"));
    ask("CREATE USER shop@localhost IDENTIFIED BY 'x'; GRANT ALL ON app.* TO shop@localhost");
    ask("CREATE PROCEDURE app.tell() SELECT 42");
    let writer = writer(&site, "mariadb app");
    until("no rows are written", || ask("SELECT count(*) FROM app.orders") != "0");
    let dump = capture(&site, "mariadb/all.sql");
    let written: u64 = ask("SELECT count(*) FROM app.orders").parse().unwrap();
    drop(writer);
    drop(server);
    let _fresh = start("fresh");
    let loaded = client(&site).stdin(File::open(dump).unwrap()).output().unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    ask("FLUSH PRIVILEGES");
    let restored: u64 = ask("SELECT count(*) FROM app.orders").parse().unwrap();
    assert!(restored > 0 && restored <= written, "{restored} of {written}");
    assert_eq!((ask(&format!("USE app; {BROKEN}")), ask(&format!("USE app; {ORPHANS}"))), ("0".into(), "0".into()));
    assert_eq!(ask("CALL app.tell()"), "42");
    assert!(ask("SHOW GRANTS FOR shop@localhost").contains("`app`.*"));
}

/// A writer of its own transactions at the file; gone with it.
fn sqlite(site: &Site) -> (PathBuf, Running) {
    let database = site.path("app.db");
    let shown = database.display();
    done(
        Command::new("sqlite3")
            .arg(&database)
            .arg(format!("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; {SCHEMA}")),
    );
    let writer = writer(site, &format!("sqlite3 -cmd '.timeout 20000' {shown}"));
    until("no rows are written", || count(&database) > 0);
    (database, writer)
}

fn count(database: &Path) -> u64 {
    query(database, "SELECT count(*) FROM orders").parse().unwrap()
}

fn query(database: &Path, query: &str) -> String {
    done(Command::new("sqlite3").args(["-cmd", ".timeout 20000"]).arg(database).arg(query))
}

fn assert_whole(database: &Path, written: u64) {
    let restored = count(database);
    assert!(restored > 0 && restored <= written, "{restored} of {written}");
    assert_eq!((query(database, BROKEN), query(database, ORPHANS)), ("0".into(), "0".into()));
    assert_eq!(query(database, "PRAGMA integrity_check"), "ok");
}

#[test]
fn sqlite_is_dumped_while_it_is_written_and_damage_is_no_dump() {
    let site = site("sqlite.toml", |text| text.replace("/srv/app/app.db", "app.db"));
    let (database, writer) = sqlite(&site);
    let dump = capture(&site, "sqlite/app.sql");
    let written = count(&database);
    drop(writer);
    let fresh = site.path("fresh.db");
    let loaded = Command::new("sqlite3").arg("-bail").arg(&fresh).stdin(File::open(dump).unwrap()).status().unwrap();
    assert!(loaded.success());
    assert_whole(&fresh, written);
    // Damage in the middle: sqlite3 itself would end with 0.
    query(&database, "PRAGMA wal_checkpoint(TRUNCATE)");
    let mut bytes = fs::read(&database).unwrap();
    let from = bytes.len() / 3;
    bytes[from..2 * from].fill(0xaa);
    fs::write(&database, bytes).unwrap();
    site.refused(1, &["sqlite/app.sql", "its command ended with exit status: 1"], TREE);
}

#[test]
fn sqlites_own_backup_by_a_hook_lies_in_the_tree_for_the_capture_only() {
    let site = site("sqlite.toml", |text| {
        let hook = text.lines().filter_map(|line| line.strip_prefix("# ")).skip_while(|line| *line != "[[hook]]");
        hook.collect::<Vec<_>>()
            .join("\n")
            .replace("/srv/app/app.db.backup", "tree/app.db.backup")
            .replace("/srv/app/app.db", "app.db")
    });
    let (database, writer) = sqlite(&site);
    let copy = capture(&site, "app.db.backup");
    let written = count(&database);
    drop(writer);
    assert_whole(&copy, written);
    assert!(!site.path("tree/app.db.backup").exists());
}

#[test]
fn every_profile_is_a_configuration() {
    for profile in ["postgresql.toml", "mariadb.toml", "sqlite.toml", "mongodb.toml"] {
        let site = site(profile, |text| text);
        let plan = site.ok(&[TREE, &["--dry-run"]].concat());
        assert!(plan.contains("would capture what a command writes as /"), "{profile}: {plan}");
    }
}
