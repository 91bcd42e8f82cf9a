#!/usr/bin/env bash
# The JMX Prometheus exporter from Maven Central, for a directory with Apache Kafka's libs/*.jar: `highwater run` starts Kafka
# with it where it is there. In a directory of its own, because libs/ is the class path.
#   scripts/get-metrics-agent.sh DIRECTORY [VERSION]        needs mvn and a JDK
set -euo pipefail
directory=${1:?name the directory of Apache Kafka} version=${2:-1.0.1}
mkdir -p "$directory/agents"
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
  -Dartifact=io.prometheus.jmx:jmx_prometheus_javaagent:"$version" -DoutputDirectory="$(cd "$directory" && pwd)/agents"
echo "JMX Prometheus exporter $version in $directory/agents"
