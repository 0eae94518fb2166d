# make demo    a workstation is captured, dies and comes back; report in target/demo/report.json
# make test    format, lints, unit and command tests, then every scenario in virtual machines
# make bench   Lifeboat beside tar, restic, Borg and rustic, in one run; report in target/bench/report.json
# make fuzz    each fuzz target for FUZZ_SECONDS (60); TARGETS="catalogue probe" runs those only
# make build   the two programs, static
# make install the programs, manual pages and completions, from what `make build` made
# make dist    the programs, templates and checksums as one archive
#
# Each installs what it misses (scripts/packages.txt, scripts/bench/packages.txt) by apt, as root or through sudo.

SHELL = /bin/sh
TARGET = x86_64-unknown-linux-gnu
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
NAME = lifeboat-$(VERSION)-$(TARGET)
SAMPLE = target/vm-assets/sample
PROFILE = $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/release

# An administrator's tools, mkfs among them, are not on every user's path.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: build demo fuzz test scenarios install dist packages programs clean

build: packages
	cargo build --release

packages:
	@sh scripts/install.sh

# The sample's disk is downloaded while the programs are compiled.
demo: packages
	@$(MAKE) --no-print-directory -j2 programs $(SAMPLE)/raw.env
	@$(PROFILE)/demo

programs:
	cargo build --release -p builder -p rescue -p qemu-tests --bins

$(SAMPLE)/raw.env: $(shell find scripts/sample -type f) scripts/mirror.sh
	@sh scripts/sample/disk.sh $(SAMPLE)

test: packages
	@cargo fmt --version >/dev/null && cargo clippy --version >/dev/null || rustup component add rustfmt clippy
	cargo fmt --all --check
	@$(MAKE) --no-print-directory -j2 lints $(SAMPLE)/raw.env
	@$(MAKE) --no-print-directory units
	@$(MAKE) --no-print-directory scenarios SCENARIOS="$(QUICK)"

.PHONY: lints units storage databases platforms
lints:
	cargo clippy --workspace --all-targets -- -D warnings

# nextest where it is installed: it shows each test's time and runs them side by side. It runs each test as a process of its own, and
# so those that share a server are left to cargo.
units:
	@sh scripts/install.sh scripts/s3/packages.txt
	@sh scripts/install.sh scripts/databases/packages.txt
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --workspace --exclude qemu-tests -E 'not (binary(s3) | binary(rclone) | binary(databases))' && \
	    cargo nextest run --workspace --lib -E 'package(qemu-tests)' && $(MAKE) --no-print-directory storage databases; \
	else \
	    cargo test --workspace --exclude qemu-tests && cargo test -p qemu-tests --lib; \
	fi

# Vaults in object storage, behind rclone and over SFTP, against servers that the tests start.
storage:
	@sh scripts/install.sh scripts/s3/packages.txt
	cargo test --workspace --test s3 --test rclone

# The profiles for databases, with the servers themselves, which the tests start.
databases:
	@sh scripts/install.sh scripts/databases/packages.txt
	cargo test --workspace --test databases

# Guests of libvirt and Podman, against the real tools, and machines of libvirt's own daemon, for which it must be root. Not a part of `make test`:
# not every machine that builds may start containers.
platforms:
	@sh scripts/install.sh scripts/platforms/packages.txt
	cargo test --workspace --test platforms -- --ignored
	sh scripts/platforms/libvirtd.sh cargo test --workspace --bin lifeboat -- --ignored still

# One machine at a time: two processors do not emulate four. SCENARIOS="lvm raid" runs those only. The packages are the same as for
# `programs`, so that nothing is compiled twice.
SCENARIOS = $(basename $(notdir $(wildcard qemu-tests/tests/*.rs)))
# Those that `make test` runs: the whole way, and each promise once. The others take more than ten minutes each under emulation.
QUICK = bios first_snapshot larger_disk lvm silence tampered_manifest tampered_segment tampered_slot typed_consent uefi wrong_key
scenarios: programs $(SAMPLE)/raw.env
	cargo test --release -p builder -p rescue -p qemu-tests $(addprefix --test ,$(SCENARIOS)) --no-fail-fast -- --test-threads=1 --nocapture

# BENCH="--trees root --rounds 1" and so on: `bench --help`. Root, for the owners of files and for a fair restore.
.PHONY: bench
bench: packages
	@sh scripts/install.sh scripts/bench/packages.txt
	cargo build --release -p builder -p bench --bins
	-@sh scripts/bench/rustic.sh target/bench/rustic
	@$(PROFILE)/bench $(BENCH)
	@[ -n "$(BENCH)" ] || $(MAKE) --no-print-directory machines

# What only a machine shows: waking, memory, restoring in a guest. MACHINES="--rounds 1"; --markdown docs/BENCHMARKS.md writes the last.
.PHONY: machines
machines: programs $(SAMPLE)/raw.env
	@$(PROFILE)/machines $(MACHINES)

# Short runs of the same targets, over their corpus and mutations of it, are among the units.
FUZZ_SECONDS = 60
fuzz: packages
	@sh scripts/fuzz.sh $(FUZZ_SECONDS) $(TARGETS)

# Where an administrator's programs go; PREFIX=/usr for packages.
PREFIX = /usr/local
install:
	install -D -m 755 $(PROFILE)/lifeboat $(DESTDIR)$(PREFIX)/sbin/lifeboat
	install -D -m 755 $(PROFILE)/lifeboat-rescue $(DESTDIR)/usr/lib/lifeboat/lifeboat-rescue
	$(PROFILE)/lifeboat man $(DESTDIR)$(PREFIX)/share/man/man1
	$(PROFILE)/lifeboat completions bash | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/lifeboat

dist: build
	rm -rf target/dist/$(NAME)
	mkdir -p target/dist/$(NAME)
	cp $(PROFILE)/lifeboat $(PROFILE)/lifeboat-rescue target/dist/$(NAME)/
	cp -R templates README.md CHANGELOG.md LICENSE LICENSE-APACHE LICENSE-MIT target/dist/$(NAME)/
	cd target/dist/$(NAME) && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS
	tar -C target/dist --sort=name --owner=0 --group=0 --numeric-owner -czf target/dist/$(NAME).tar.gz $(NAME)
	cd target/dist && sha256sum $(NAME).tar.gz >$(NAME).tar.gz.sha256

clean:
	rm -rf target/demo target/vm-run target/vm-state target/vm-logs target/dist
