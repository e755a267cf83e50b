#!/usr/bin/env bash
# Serves the cache's model on free loopback ports, streams one answer with its statistics, and stops the server.
# Usage: scripts/demo.sh BINARY. Needs what `sluice setup` puts into the cache; needs no network.
set -euo pipefail

sluice=${1:?usage: scripts/demo.sh BINARY}
log=$(mktemp)
server=

finish() {
  code=$?
  if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
    kill -TERM "$server"
    wait "$server" || code=$?
  fi
  [ "$code" -eq 0 ] || cat "$log" >&2
  rm -f "$log"
  exit "$code"
}
trap finish EXIT

"$sluice" serve --grpc-addr 127.0.0.1:0 --http-addr 127.0.0.1:0 --drain-delay 0s --log-format json 2>"$log" &
server=$!

# The server logs its addresses in one line when it takes calls.
addr=
for _ in $(seq 600); do
  addr=$(sed -n 's/.*"grpc_addr":"\([^"]*\)".*/\1/p' "$log" | head -n 1)
  [ -z "$addr" ] || break
  kill -0 "$server" 2>/dev/null || { wait "$server" || exit $?; exit 1; }
  sleep 0.1
done
[ -n "$addr" ] || { echo "demo: the server was not ready within a minute" >&2; exit 1; }

echo "serving on $addr"
echo "> Name three rivers."
"$sluice" generate --addr "$addr" --stats --temperature 0 --max-tokens 64 "Name three rivers." 2>&1

kill -TERM "$server"
wait "$server"
server=
echo "the server drained and exited 0"
