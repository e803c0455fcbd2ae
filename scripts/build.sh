#!/bin/sh
# Builds nsnet as a static binary: build.sh [OUTPUT], GOARCH in the environment.
set -eu
cd "$(dirname "$0")/.."
out=${1:-bin/nsnet}

# Without git's word on the tree (no git, or a clone of another user) there is no version, and go
# build would fail for want of one.
if version=$(git describe --tags --always --dirty 2>/dev/null); then
	vcs=auto
else
	version=devel
	vcs=false
fi
GOOS=linux CGO_ENABLED=0 go build -buildvcs=$vcs -trimpath -ldflags "-s -w -X main.version=$version" -o "$out" ./cmd/nsnet

# A copy of what the linker has written here and there is read from larger pieces of the page cache: it starts in less time, and
# commands of a node are as long as that.
cp "$out" "$out.copy"
mv -f "$out.copy" "$out"

# ldd succeeds for what the dynamic linker would load.
if command -v ldd >/dev/null && ldd "$out" >/dev/null 2>&1; then
	echo "build.sh: $out is not static" >&2
	exit 1
fi
