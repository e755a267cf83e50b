#!/usr/bin/env bash
# Prints the licences of what is inside the given Go binaries: Go itself and each module, from the module cache.
#   scripts/notices.sh BINARY…
set -euo pipefail
export GOTOOLCHAIN=${GOTOOLCHAIN:-go1.27.3}
[ $# -gt 0 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }

cache=$(go env GOMODCACHE)
goroot=$(go env GOROOT)

section() { # TITLE FILE…
	local title=$1 file
	shift
	printf '%s\n%s\n\n' "--------------------------------------------------------------------------------" "$title"
	for file in "$@"; do
		cat "$file"
		printf '\n'
	done
}

section "Go $(go env GOVERSION)" "$goroot/LICENSE"
# The lines are "dep MODULE VERSION HASH"; a replaced module, of which there is none, would be named on a line "=>".
go version -m "$@" | awk '$1 == "dep" { print $2, $3 }' | sort -u | while read -r module version; do
	# In the cache's paths, "!x" stands for a capital X.
	# shellcheck disable=SC2001 # bash has no \L
	directory=$cache/$(sed 's/[A-Z]/!\L&/g' <<<"$module@$version")
	mapfile -t files < <(find "$directory" -maxdepth 1 -type f \
		\( -iname 'licen[cs]e*' -o -iname 'unlicen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'patents*' \) ! -name '*.go' | sort)
	[ ${#files[@]} -gt 0 ] || { echo "no licence of $module $version in $directory" >&2; exit 1; }
	section "$module $version" "${files[@]}"
done
