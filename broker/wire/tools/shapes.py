"""Writes src/shape/table.rs from Kafka's JSON message schemas.

    python3 tools/shapes.py DIRECTORY > src/shape/table.rs

DIRECTORY holds the schemas as they lie in kafka-clients.jar under common/message.
"""
import json
import re
import sys
import textwrap

APIS = """Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup
SyncGroup DescribeGroups ListGroups ApiVersions CreateTopics DeleteTopics InitProducerId OffsetForLeaderEpoch
DescribeConfigs CreatePartitions DeleteGroups ElectLeaders IncrementalAlterConfigs ListPartitionReassignments
Vote BeginQuorumEpoch EndQuorumEpoch DescribeQuorum AlterPartition Envelope FetchSnapshot DescribeCluster
BrokerRegistration BrokerHeartbeat UnregisterBroker AllocateProducerIds ControllerRegistration
DescribeTopicPartitions AlterPartitionReassignments DeleteRecords DescribeLogDirs DescribeProducers
OffsetDelete ListConfigResources ConsumerGroupDescribe""".split()
FIXED = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16}
OPEN_END = 32767


def versions(text):
    if text in (None, "none"):
        return (1, 0)
    match = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", text)
    low = int(match[1])
    return (low, OPEN_END if match[2] else int(match[3] or low))


def fields_of(fields, structs):
    rows = []
    for field in fields:
        low, high = versions(field["versions"])
        kind = kind_of(field["type"], field, structs)
        if "tag" in field:
            kind = f"Tag({field['tag']}, {versions(field['taggedVersions'])[0]}, &{kind})"
        high = "END" if high == OPEN_END else high
        rows.append(f"({low}, {high}, {kind})")
    return "&[" + ", ".join(rows) + "]"


def kind_of(name, field, structs):
    if name.startswith("[]"):
        return f"Arr(&{kind_of(name[2:], field, structs)})"
    if name in FIXED:
        return f"Fix({FIXED[name]})"
    if name == "string":
        return "Str"
    if name in ("bytes", "records"):
        return "Byt"
    inner = fields_of(field.get("fields") or structs[name], structs)
    nullable = "nullableVersions" in field and not field["type"].startswith("[]")
    return f"{'Opt' if nullable else 'Obj'}({inner})"


def main():
    print("//! Written by tools/shapes.py from Kafka's message schemas (Apache License 2.0). Not edited by hand.")
    print()
    print("use super::Kind::*;")
    print("use super::{END, Guarded, Shape};")
    print("use kafka_protocol::messages as m;")
    for api in APIS:
        for side in ("Request", "Response"):
            text = open(f"{sys.argv[1]}/{api}{side}.json").read()
            schema = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))
            structs = {s["name"]: s["fields"] for s in schema.get("commonStructs", [])}
            flexible = versions(schema["flexibleVersions"])[0] if schema["flexibleVersions"] != "none" else "END"
            print()
            print(f"impl Guarded for m::{api}{side} {{")
            row = f"const SHAPE: &'static Shape = &({flexible}, {fields_of(schema['fields'], structs)});"
            print(textwrap.fill(row, 118, initial_indent="    ", subsequent_indent="        ",
                                break_long_words=False, break_on_hyphens=False))
            print("}")


main()
