#!/bin/sh
# Runs each fuzz target for some seconds: sh scripts/fuzz.sh SECONDS [TARGET...]
# Stable rustc is enough: coverage is LLVM's, reached through flags that are stable; what libFuzzer finds as a crash is a panic,
# an overflow, a timeout or too much memory. `cargo fuzz` with a nightly toolchain adds AddressSanitizer.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift
work=target/fuzz
# The flags replace those of .cargo/config.toml: libFuzzer's runtime is C++ and linked dynamically.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1"
export CARGO_TARGET_DIR=$work CARGO_PROFILE_RELEASE_STRIP=none
cargo build --release -p fuzz -p builder --bins --features fuzz/libfuzzer,builder/libfuzzer
binaries=$work/x86_64-unknown-linux-gnu/release
# The target for the configuration is the command itself, built as one.
ln -sf lifeboat "$binaries/config"
[ $# -gt 0 ] || set -- $(ls fuzz/fuzz_targets | sed 's/\.rs$//') config
failed=
for target in "$@"; do
    mkdir -p "$work/corpus/$target" "$work/crashes"
    echo "fuzzing $target for $seconds s"
    # What is found new goes to the first folder; the committed corpus is only read.
    "$binaries/$target" "$work/corpus/$target" "fuzz/corpus/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 \
        -rss_limit_mb=1024 -artifact_prefix="$work/crashes/$target-" -print_final_stats=1 >"$work/$target.log" 2>&1 || {
        failed="$failed $target"
        tail -n 30 "$work/$target.log"
    }
    grep -E 'stat::number_of_executed_units|cov:' "$work/$target.log" | tail -n 2
done
[ -z "$failed" ] || {
    echo "crashes in$failed: the inputs are in $work/crashes; put each into fuzz/corpus/<target> and mend what it shows"
    exit 1
}
