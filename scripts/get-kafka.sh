#!/usr/bin/env bash
# Apache Kafka's broker and tools from Maven Central, without its tarball: a directory with libs/*.jar,
# and agents/ with the JMX exporter, by which its nodes tell their metrics (no part of their class path).
#   scripts/get-kafka.sh DIRECTORY [VERSION]        needs mvn and a JDK; `highwater run --kafka-home DIRECTORY` runs it
set -euo pipefail
directory=${1:?name the directory to make} version=${2:-4.3.1}
scala=2.13 work=$(mktemp -d "${TMPDIR:-/tmp}/get-kafka.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Releases before 4.0 log through reload4j. Neither back end is a dependency of the broker's artifact.
case $version in
  [0-3].*) logging='<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>' ;;
  *) logging='<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.3</version></dependency><dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.3</version></dependency>' ;;
esac
cat > "$work/pom.xml" <<X
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_$scala</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
    $logging
  </dependencies>
</project>
X
mkdir -p "$directory/libs"
mvn -q -B -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DincludeScope=runtime -DoutputDirectory="$(cd "$directory" && pwd)/libs"
"$(dirname "$0")/get-metrics-agent.sh" "$directory"
echo "Apache Kafka $version in $directory: $(ls "$directory/libs" | wc -l) jars"
