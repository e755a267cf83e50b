#!/usr/bin/env bash
# Builds the container image with docker or, where no daemon answers, buildah.
#   scripts/image.sh [--local] [--base IMAGE] [--wheels DIR] [--tag NAME]… [-- ARGUMENT…]
# --local   needs no container registry: takes binaries built here and a base that mmdebstrap makes of five Debian
#           packages. With --base, an image that is there already, and a cache that is set up, it needs no network.
# --base    the image to build on instead of the Dockerfile's.
# --wheels  a folder with ONNX Runtime's wheel, to use instead of pip's index.
# --tag     the name of the result; default sluice:VERSION, and sluice:latest.
# --        what follows goes to `docker build` or `buildah bud`, such as --build-arg GO=IMAGE or --platform.
# IMAGE_FLAGS holds further flags, for `make image`; CONTAINER_TOOL picks docker or buildah.
set -euo pipefail
cd "$(dirname "$0")/.."

local='' base='' wheels='' tags=()
usage() { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
read -ra more <<<"${IMAGE_FLAGS-}"
set -- "${more[@]}" "$@"
while [ $# -gt 0 ]; do
	case $1 in
	--local) local=yes ;;
	--base) base=${2-}; shift ;;
	--wheels) wheels=${2-}; shift ;;
	--tag) tags+=("${2-}"); shift ;;
	--) shift; break ;;
	*) usage ;;
	esac
	shift || usage
done

version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
[ ${#tags[@]} -gt 0 ] || tags=("sluice:$version" sluice:latest)

tool=${CONTAINER_TOOL-}
if [ -z "$tool" ]; then
	if docker info >/dev/null 2>&1; then
		tool=docker
	elif command -v buildah >/dev/null; then
		tool=buildah
	else
		echo 'neither a docker daemon nor buildah is here (Debian: apt-get install buildah)' >&2
		exit 1
	fi
fi
if [ "$tool" = buildah ]; then
	# What works without a daemon, without privileges beyond root, and inside another container.
	export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
fi

# debian_base makes the image sluice-base of the packages that the Dockerfile asks for: extracted, not installed, so
# without a shell.
debian_base() {
	command -v mmdebstrap >/dev/null || { echo '--local needs mmdebstrap (apt-get install mmdebstrap) or --base' >&2; exit 1; }
	# The release of this machine, if it is Debian: the binary was linked against its C library.
	local suite
	suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	grep -qx 'ID=debian' /etc/os-release || suite=bookworm
	mkdir -p bin
	# What the packages' scripts would have done: the bundle of certificates, users, mount points.
	# shellcheck disable=SC2016 # $1 is mmdebstrap's
	mmdebstrap --quiet --variant=extract --include=libc6,libstdc++6,libgcc-s1,ca-certificates,tzdata \
		--extract-hook='cd "$1" && mkdir -p proc sys run etc/ssl/certs &&
			cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt &&
			printf "root:x:0:0:root:/:/\nnonroot:x:65532:65532:nonroot:/:/\n" >etc/passwd &&
			printf "root:x:0:\nnonroot:x:65532:\n" >etc/group' \
		--dpkgopt=path-exclude=/usr/share/man/* --dpkgopt=path-exclude=/usr/share/locale/* \
		"$suite" bin/base.tar
	if [ "$tool" = buildah ]; then
		local container
		container=$(buildah from scratch)
		buildah add -q "$container" bin/base.tar / >/dev/null
		buildah commit -q --rm --format docker "$container" sluice-base >/dev/null
	else
		docker import bin/base.tar sluice-base >/dev/null
	fi
	rm bin/base.tar
}

target=image
if [ -n "$local" ]; then
	target=prebuilt
	rm -rf bin/image
	scripts/payload.sh --version "$version" ${wheels:+--wheels "$wheels"} bin/image
	if [ -z "$base" ]; then
		debian_base
		base=sluice-base
		[ "$tool" = buildah ] && base=localhost/sluice-base
	fi
elif [ -n "$wheels" ]; then
	mkdir -p bin/wheels
	cp "$wheels"/onnxruntime-*.whl bin/wheels/
fi

arguments=(--target "$target" --build-arg "VERSION=$version" ${base:+--build-arg "BASE=$base"})
for tag in "${tags[@]}"; do
	arguments+=(-t "$tag")
done
arguments+=("$@")
if [ "$tool" = buildah ]; then
	# Format docker, since only that has health checks. The commit's time, so that the same files give the same layers.
	buildah bud --format docker --layers=false --timestamp "$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
		"${arguments[@]}" .
else
	docker build "${arguments[@]}" .
fi
echo "built ${tags[*]} on ${base:-the default base}"
