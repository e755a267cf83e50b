#!/usr/bin/env bash
# Lays out what the image adds to its base, as a tree: binary, health probe, ONNX Runtime, licences.
#   scripts/payload.sh [--no-runtime | --only-runtime] [--version TEXT] [--wheels DIR] DIRECTORY
# ONNX Runtime comes from the cache, which `sluice setup` fills first if it must: from the wheels in DIR if there are
# any, else through pip.
set -euo pipefail
umask 022
export GOTOOLCHAIN=${GOTOOLCHAIN:-go1.27.3} CGO_ENABLED=1
here=$(cd "$(dirname "$0")/.." && pwd)

program=yes runtime=yes version=unknown wheels=
usage() { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
while [ $# -gt 1 ]; do
	case $1 in
	--no-runtime) runtime= ;;
	--only-runtime) program= ;;
	--version) version=$2; shift ;;
	--wheels) wheels=$2; shift ;;
	*) usage ;;
	esac
	shift
done
case ${1-} in '' | -*) usage ;; esac
mkdir -p "$1"
out=$(cd "$1" && pwd)
documents=$out/usr/share/doc

if [ -n "$program" ]; then
	cd "$here"
	go build -trimpath -ldflags "-X main.version=$version" -o "$out/usr/bin/sluice" ./cmd/sluice
	(cd .tools/grpc && go build -trimpath -o "$out/usr/bin/" github.com/grpc-ecosystem/grpc-health-probe)
	install -D -m 644 LICENSE "$documents/sluice/LICENSE"
	scripts/notices.sh "$out"/usr/bin/* >"$documents/sluice/ThirdPartyNotices.txt"
fi

if [ -n "$runtime" ]; then
	export SLUICE_HOME=${SLUICE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}
	compgen -G "$wheels/*.whl" >/dev/null || wheels=
	"$out/usr/bin/sluice" setup --runtime-only ${wheels:+--wheels "$wheels"} >&2
	libraries=("$SLUICE_HOME"/runtime/libonnxruntime.so.*)
	[ ${#libraries[@]} = 1 ] || { echo "more than one library: ${libraries[*]}" >&2; exit 1; }
	install -D -m 644 "${libraries[0]}" "$out/usr/lib/sluice/libonnxruntime.so"
	install -D -m 644 -t "$documents/onnxruntime" "$SLUICE_HOME"/runtime/{LICENSE,ThirdPartyNotices.txt}
fi

mkdir -p "$out/models" # where the models are mounted
