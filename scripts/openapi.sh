#!/usr/bin/env bash
# Puts a real server to requests that schemathesis makes of its OpenAPI document: none may fail the server, be answered in a
# form that the document does not have, or be taken although the document forbids it.
#   scripts/openapi.sh SLUICE SCHEMATHESIS [OPTIONS…]
# EXAMPLES (10) is how many requests are drawn for each operation, beside those that cover its schema.
set -euo pipefail
sluice=$(realpath -s "$1") schemathesis=$(realpath -s "$2") # the folder changes
shift 2
work=$(mktemp -d)
: >"$work/log"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait; rm -rf "$work"' EXIT
# Small answers: it is the forms that count here.
"$sluice" serve --grpc-addr 127.0.0.1:0 --http-addr 127.0.0.1:0 --drain-delay 0s --log-format json \
	--max-context 64 --default-max-tokens 4 --max-outputs 4 2>"$work/log" &
server=$!
addr=
while [ -z "$addr" ]; do
	kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
	addr=$(sed -n 's/.*"msg":"serving".*"http_addr":"\([^"]*\)".*/\1/p' "$work/log")
	sleep 0.1
done
# A request that keeps to the document may still be refused (a prompt that is too long), so positive_data_acceptance is not
# asked.
cd "$work"
"$schemathesis" run "http://$addr/openapi.json" --phases coverage,fuzzing --exclude-checks positive_data_acceptance \
	--continue-on-failure --generation-deterministic --max-examples "${EXAMPLES:-10}" \
	--no-color --warnings off "$@"
kill "$server"
wait "$server" # drained, with 0
server=
if grep '"level":"ERROR"' "$work/log"; then
	echo 'the server logged a fault' >&2
	exit 1
fi
