#!/usr/bin/env bash
# Unthrottled acknowledged throughput, the bundled broker against Apache Kafka, alternating on this machine with the
# same librdkafka client: acks=all, RF 3, min.insync 2, 10 partitions, 1 KiB.   scripts/throughput.sh [ROUNDS] [RECORDS]
# Needs HIGHWATER_KAFKA_HOME: a directory with bin/kafka-server, bin/kafka-storage and bin/kafka-topics, or the
# official distribution's bin/*.sh. One cluster is up at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} records=${2:-300000} kafka=${HIGHWATER_KAFKA_HOME:?name the directory with Kafka}
tool() { if [ -x "$kafka/bin/$1" ]; then echo "$kafka/bin/$1"; else echo "$kafka/bin/$1.sh"; fi; }
server=$(tool kafka-server); [ -x "$server" ] || server=$kafka/bin/kafka-server-start.sh
cargo build --release -q -p highwater -p highwater-clients --example throughput
cargo build --release -q
work=$(mktemp -d "${TMPDIR:-/tmp}/highwater-throughput.XXXXXX")
pids=()
cleanup() {
  ./target/release/highwater cluster down --out "$work/store" >/dev/null 2>&1 || true
  for p in "${pids[@]:-}"; do [ -n "$p" ] && kill -KILL "$p" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
topic() { "$(tool kafka-topics)" --bootstrap-server "$1" --create --topic t --partitions 10 --replication-factor 3 --config min.insync.replicas=2 >/dev/null; }
client() { timeout 120 ./target/release/examples/throughput "$1" t "$records" 1024 all; }
bundled() {
  local b; b=$(./target/release/highwater cluster up --nodes 3 --kafka-defaults --json --out "$work/store" | sed -n 's/.*"bootstrap": "\(.*\)".*/\1/p')
  topic "$b"; client "$b"; ./target/release/highwater cluster down --out "$work/store"
}
apache() {
  local v= b= i d=$work/kafka; rm -rf "$d"; pids=()
  for i in 1 2 3; do v+="${v:+,}$i@127.0.0.1:$((39190+i))" b+="${b:+,}127.0.0.1:$((39090+i))"; done
  for i in 1 2 3; do
    mkdir -p "$d/$i"
    printf '%s\n' process.roles=broker,controller node.id=$i controller.quorum.voters=$v \
      "listeners=PLAINTEXT://127.0.0.1:$((39090+i)),CONTROLLER://127.0.0.1:$((39190+i))" \
      listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT inter.broker.listener.name=PLAINTEXT \
      controller.listener.names=CONTROLLER log.dirs=$d/$i/log min.insync.replicas=2 default.replication.factor=3 > "$d/$i.properties"
    "$(tool kafka-storage)" format -t MkU3OEVBNTcwNTJENDM2Qk -c "$d/$i.properties" >/dev/null
    KAFKA_HEAP="-Xms400m -Xmx400m" KAFKA_HEAP_OPTS="-Xms400m -Xmx400m" "$server" "$d/$i.properties" > "$d/$i.out" 2>&1 &
    pids+=($!)
  done
  for _ in $(seq 30); do topic "$b" 2>/dev/null && break; done
  # The first run warms the JVMs up and is not counted.
  client "$b" >/dev/null; client "$b"
  kill -KILL "${pids[@]}"; wait "${pids[@]}" 2>/dev/null || true; pids=()
}
for round in $(seq "$rounds"); do
  echo "round $round bundled  $(bundled)"
  echo "round $round apache   $(apache)"
done
