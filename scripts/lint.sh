#!/bin/sh
# gofmt, go vet, and golangci-lint at the version that tools/go.mod names.
set -eu
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -co --exclude-standard '*.go' | while read -r f; do [ ! -e "$f" ] || gofmt -l "$f"; done)
if [ -n "$unformatted" ]; then
	echo "not formatted by gofmt:" >&2
	echo "$unformatted" >&2
	exit 1
fi
go vet ./...
go vet -tags failpoint ./internal/failpoint ./container/nodeinit
# Built once: go run links the program anew each time.
tool=bin/golangci-lint
[ "$tool" -nt tools/go.mod ] || go build -modfile=tools/go.mod -o "$tool" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
"$tool" run --allow-parallel-runners "$@"
