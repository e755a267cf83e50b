#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each: scripts/fuzz.sh [TIME [PACKAGE…]]
# go test fuzzes one target of one package at a time, so this finds them and loops.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-5s}
shift || true
packages=("${@:-./...}")

found=0
while read -r package directory; do
	targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$directory"/*_test.go 2>/dev/null | awk '{print $2}' | sort -u || true)
	for target in $targets; do
		found=$((found + 1))
		echo "fuzz $package $target $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done
done < <(go list -f '{{.ImportPath}} {{.Dir}}' "${packages[@]}")
[ "$found" -gt 0 ] || { echo 'no fuzz target found' >&2; exit 1; }
echo "$found fuzz targets ran"
