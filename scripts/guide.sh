#!/usr/bin/env bash
# Runs the shell blocks of a guide, in order and in one shell, in an empty folder that goes away.
#   scripts/guide.sh FILE.md SLUICE PYTHON     PYTHON has what requirements-architectures.txt lists
# TRAIN_SECONDS bounds the training (120).
set -euo pipefail
guide=$(realpath "$1") sluice=$(realpath "$2") python=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
ln -s "$sluice" "$work/bin/sluice"
# A virtual environment's python has to be called by its own name.
printf '#!/bin/sh\nexec "%s" "$@"\n' "$(cd "$(dirname "$python")" && pwd)/$(basename "$python")" >"$work/bin/python"
chmod +x "$work/bin/python"
# Each block says when it begins.
awk '/^```sh$/ { on = 1; printf "printf %s\n", "\x27\\n== block " ++n " (%ss)\\n\x27 \"$SECONDS\""; next } /^```$/ { on = 0 } on' "$guide" >"$work/guide.sh"
[ -s "$work/guide.sh" ] || { echo "$guide has no shell blocks" >&2; exit 1; }
mkdir "$work/run"
cd "$work/run"
chmod 755 "$work" "$work/run" # apt-get downloads as another user
PATH="$work/bin:$PATH" HF_HUB_OFFLINE=1 bash -euo pipefail "$work/guide.sh"
printf '\n%s: every block ran (%ss)\n' "$1" "$SECONDS"
