#!/bin/sh
# Every check of the project, as CI runs them: installs what the tests need, then formats,
# vets, lints, builds for each platform, and runs all tests with the race detector.
# As root with NSNET_STRICT=1 no test is skipped for want of a program or privilege.
set -eu
cd "$(dirname "$0")/.."

step() {
	echo "== $*"
}

step "install what the tests need"
sh scripts/setup-test.sh

if [ "$(id -u)" = 0 ]; then
	NSNET_STRICT=${NSNET_STRICT:-1}
	export NSNET_STRICT
fi
PATH=$PATH:/usr/sbin:/sbin

step "gofmt, go vet, golangci-lint"
sh scripts/lint.sh

step "build, static; for arm64, too"
GOARCH=arm64 sh scripts/build.sh bin/nsnet-arm64
GOARCH=$(go env GOHOSTARCH) sh scripts/build.sh bin/nsnet
GOFLAGS=-tags=failpoint sh scripts/build.sh bin/nsnet-failpoint

# One run for all: privileged tests go into namespaces of their own by themselves. The
# end-to-end tests drive the binary that users get.
step "go test -race"
NSNET_BIN=$PWD/bin/nsnet NSNET_FAILPOINT_BIN=$PWD/bin/nsnet-failpoint CGO_ENABLED=1 go test -race -count=1 -timeout 16m ./...

step "fuzz, 5 s for each target"
sh scripts/fuzz.sh 5s

step "all passed"
