#!/usr/bin/env bash
# Builds the image with scripts/image.sh --local and runs it for real, without a daemon: its root mounted read-only, as
# the image's own user, with its environment, command and health check, and with no network but a loopback of its own.
# Needs root, buildah, mmdebstrap and what `make setup test-tools` provides.
#   scripts/image_test.sh [IMAGE]     with IMAGE: tests that one instead of building
set -euo pipefail
cd "$(dirname "$0")/.."
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot} CONTAINER_TOOL=buildah
export SLUICE_HOME=${SLUICE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}
grpcurl=$PWD/.tools/bin/grpcurl
model=smollm2-135m-instruct

fail() {
	echo "FAIL: $*" >&2
	exit 1
}
ok() { echo "ok: $*"; }

# serve_and_ask runs the container's command in the namespaces that `inside` made, and asks it.
#   ROOT: the mounted image; CONFIG: its settings, one file each; MODELS: what to mount at /models
serve_and_ask() {
	local root=$1 config=$2 models=$3 environment command health user server said try uid answer
	mapfile -t environment <"$config/Env"
	mapfile -t command < <(cat "$config/Entrypoint" "$config/Cmd")
	mapfile -t health < <(tail -n +2 "$config/Healthcheck.Test") # the first word is CMD
	user=$(<"$config/User")

	ip link set lo up
	mount --bind "$root" "$root"
	mount --bind -o ro "$models" "$root/models"
	mount -t proc proc "$root/proc"
	mount -o remount,ro,bind "$root"
	touch "$root/tmp/x" 2>/dev/null && fail 'the root is not read-only'
	# within becomes a command that runs as the container's processes do.
	within() { exec env -i "${environment[@]}" "$(command -v chroot)" --userspec="$user" --groups= "$root" "$@"; }

	within "${command[@]}" &
	server=$!
	for ((try = 0; ; try++)); do
		said=$(within "${health[@]}" 2>&1) && break
		kill -0 "$server" 2>/dev/null || fail 'the server ended'
		[ "$try" -lt 120 ] || fail "the health check: $said"
		sleep 0.5
	done
	ok "health check: $said"
	uid=$(awk '/^Uid:/ { print $2 }' "/proc/$server/status")
	if [ "$uid" != "${user%%:*}" ] || [ "$uid" = 0 ]; then fail "it runs as user $uid"; fi
	ok "runs as user $uid on a read-only root"

	"$grpcurl" -plaintext 127.0.0.1:50051 list | grep -qx sluice.v1.InferenceService || fail 'reflection'
	answer=$("$grpcurl" -plaintext 127.0.0.1:50051 sluice.v1.ModelService/ListModels) || fail 'ListModels'
	ok "models:$(grep '"name"' <<<"$answer" | tr -s ' ')"
	answer=$("$grpcurl" -plaintext -d '{"prompt": "The capital of France is", "sampling": {"max_tokens": 8, "temperature": 0}}' \
		127.0.0.1:50051 sluice.v1.InferenceService/Generate) || fail 'Generate'
	grep -q Paris <<<"$answer" || fail "Generate: $answer"
	ok "Generate:$(grep '"text"' <<<"$answer" | tr -s ' ')"
	python3 -c 'import urllib.request as r; assert r.urlopen("http://127.0.0.1:8080/readyz").status == 200' || fail readyz
	ok 'readyz'

	kill -TERM "$server"
	wait "$server" || fail "it exits $? after SIGTERM"
	ok 'SIGTERM: drained, exit 0'
}

if [ "${1-}" = --inside ]; then
	shift
	serve_and_ask "$@"
	exit
fi

[ "$(id -u)" = 0 ] || fail 'needs root'
[ -e "$SLUICE_HOME/models/$model/model.onnx" ] || fail 'no model: run make setup'
[ -x "$grpcurl" ] || fail 'no grpcurl: run make test-tools'
image=${1-}
if [ -z "$image" ]; then
	image=localhost/sluice:test
	scripts/image.sh --local --tag sluice:test
fi

scratch=$(mktemp -d)
container=$(buildah from --pull-never "$image")
trap 'buildah rm "$container" >/dev/null; rm -rf "$scratch"' EXIT
root=$(buildah mount "$container")
config=$scratch/config
mkdir "$config"
buildah inspect --type image "$image" >"$scratch/image.json"
python3 - "$scratch/image.json" "$config" <<'E'
import json, pathlib, sys

settings = json.load(open(sys.argv[1]))["Docker"]["config"]
settings["Healthcheck.Test"] = settings["Healthcheck"]["Test"]
for name in "Env", "Entrypoint", "Cmd", "Healthcheck.Test", "User":
    value = settings[name] or []
    lines = [value] if isinstance(value, str) else value
    pathlib.Path(sys.argv[2], name).write_text("".join(line + "\n" for line in lines))
E

for file in usr/bin/sluice usr/bin/grpc-health-probe usr/lib/sluice/libonnxruntime.so \
	usr/share/doc/sluice/{LICENSE,ThirdPartyNotices.txt} usr/share/doc/onnxruntime/{LICENSE,ThirdPartyNotices.txt} \
	etc/ssl/certs/ca-certificates.crt usr/share/zoneinfo/Europe/Zurich; do
	[ -s "$root/$file" ] || fail "no /$file"
done
grep -q google.golang.org/grpc "$root/usr/share/doc/sluice/ThirdPartyNotices.txt" || fail 'a licence is missing'
[ -z "$(find "$root" -name '*.onnx*' -o -name '*.gguf')" ] || fail 'a model is inside'
[ -z "$(find "$root" -xdev -perm /6000 -type f)" ] || fail 'a file runs as its owner'
ok "contents, $(du -sm "$root" | cut -f1) MB"

# The cache is its owner's alone; what people mount must be readable for the image's user.
mkdir -p "$scratch/models"
cp -r "$SLUICE_HOME/models/$model" "$scratch/models/"
chmod -R a+rX "$scratch"

# inside runs serve_and_ask in namespaces of its own.
inside() {
	unshare --mount --net --pid --fork --kill-child --mount-proc \
		scripts/image_test.sh --inside "$root" "$config" "$1"
}
inside "$scratch/models"
ok 'the image serves the folders under /models'
inside "$scratch/models/$model"
ok 'the image serves the folder at /models itself'
echo '2 passed, 0 failed'
