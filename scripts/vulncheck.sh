#!/bin/sh
# Looks for known holes in the libraries, in the parts that nsnet calls: govulncheck, which asks its database on the
# network. It ends with an error where there is one, and where the database cannot be had: that nothing was
# found is said by whoever has looked.
set -eu
cd "$(dirname "$0")/.."
exec go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...
