#!/usr/bin/env bash
# Runs the shipped plans that break one thing each, on the bundled cluster and on Apache Kafka, and prints a table.
#   scripts/shipped-plans.sh [PLAN…]       needs root, python3 and HIGHWATER_KAFKA_HOME (without it: the bundled cluster alone)
set -uo pipefail
cd "$(dirname "$0")/.."
plans=("$@")
[ ${#plans[@]} -gt 0 ] || plans=(smoke leader-cut-from-followers leader-cut-from-controller one-follower-link-cut zombie-leader
  rolling-restart quorum-majority-lost last-in-sync-wiped power-cut-on-all "power-cut-on-all --set flush=every-batch"
  everything-at-random tail-lost-elected-first disk-full old-snapshot groups transactions exactly-once
  reassignment-with-a-kill clocks-apart)
# Those with a matrix are for highwater compare: unclean-election, response-lost, followers-slowed-leader-killed.
cargo build --release -q
store=$(mktemp -d "${TMPDIR:-/tmp}/highwater-plans.XXXXXX")
trap 'rm -rf "$store"' EXIT
echo "| plan | target | verdict | acknowledged | of them lost | longest pause | faults |"
echo "|---|---|---|---|---|---|---|"
targets=(bundled)
[ -n "${HIGHWATER_KAFKA_HOME:-}" ] && targets+=(kafka)
for plan in "${plans[@]}"; do
  for target in "${targets[@]}"; do
    # shellcheck disable=SC2086
    timeout 600 ./target/release/highwater run $plan --target "$target" --seed "${SEED:-1}" --json --progress none \
      --out "$store" > "$store/verdict.json" 2> "$store/error.txt"
    code=$?
    if [ ! -s "$store/verdict.json" ]; then
      echo "| \`$plan\` | $target | exit $code: $(head -n 1 "$store/error.txt" | cut -c1-160) | | | | |"
      continue
    fi
    python3 - "$plan" "$store/verdict.json" <<'P'
import collections, json, sys
plan, v = sys.argv[1], json.load(open(sys.argv[2]))
lost = next((c["count"] for c in v["checks"] if c["name"] == "lost-write"), "?")
states = collections.Counter((f["name"], f["state"]) for f in v["faults"])
faults = ", ".join(f"{n} {name} {state}" for (name, state), n in states.items())
c, pause = v["counts"], v["availability"]["longest_outage_ms"]
print(f"| `{plan}` | {v['target']} | {v['verdict']} | {c['ok']:,} | {lost:,} | {pause / 1000:.1f} s | {faults} |")
if v["verdict"] not in ("held", "not promised"):
    print("|  | | " + v["because"].replace("|", "/")[:300] + " | | | | |")
P
  done
done
