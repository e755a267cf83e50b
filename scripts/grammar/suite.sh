#!/usr/bin/env bash
# Fetches the JSON-Schema-Test-Suite (draft 2020-12) from the source archive of Python's jsonschema, with the user's own
# pip configuration, and prints the folder: scripts/grammar/suite.sh PYTHON DIR
set -euo pipefail
python=$1 directory=$2
version=4.26.0
sum=0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326
target=$directory/json-schema-test-suite-$version
if [ ! -d "$target" ]; then
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	"$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary :all: -d "$scratch" "jsonschema==$version" >&2
	echo "$sum  $scratch/jsonschema-$version.tar.gz" | sha256sum -c --quiet >&2
	tar xzf "$scratch/jsonschema-$version.tar.gz" -C "$scratch" "jsonschema-$version/json/tests/draft2020-12"
	mkdir -p "$directory"
	mv "$scratch/jsonschema-$version/json/tests/draft2020-12" "$target"
fi
echo "$target"
