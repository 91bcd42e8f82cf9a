#!/bin/sh
# Fuzzes the readers of histories: scripts/fuzz.sh TARGET [SECONDS], the target being own, json_lines or edn.
#
# libFuzzer's own engine, on stable Rust: the compiler's coverage pass is asked for by name. Inputs that made a target fail are
# fuzz/found/TARGET-*; the last command below with one of these as its only argument runs it again.
set -eu
target=$1
seconds=${2:-300}
cd "$(dirname "$0")/../fuzz"
build=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')

# Seeds are made without the pass, which wants libFuzzer linked in.
cargo run --quiet --release --example seeds -- corpus

RUSTFLAGS="-C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
-C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
-C llvm-args=-sanitizer-coverage-trace-compares -C codegen-units=1" \
  cargo build --quiet --release --target-dir "$build/fuzzing" --target "$host" --bin "$target"

mkdir -p found
"$build/fuzzing/$host/release/$target" "corpus/$target" -artifact_prefix="found/$target-" \
  -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
