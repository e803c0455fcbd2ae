#!/bin/sh
# Runs every fuzz target of the repository for a time, 60s unless given.
set -eu
cd "$(dirname "$0")/.."
time=${1:-60s}

git grep -q --untracked '^func Fuzz' -- '*_test.go' || { echo "no fuzz targets"; exit 0; }
said=$(mktemp)
trap 'rm -f "$said"' EXIT
git grep -o --untracked '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | while IFS=: read -r file func; do
	name=${func#func }
	echo "$name in $(dirname "$file")"
	# By default one input that finds something new is made smaller for up to a minute.
	go test -run='^$' -fuzz="^$name\$" -fuzztime="$time" -fuzzminimizetime=10x "./$(dirname "$file")" </dev/null >"$said" 2>&1 && continue
	cat "$said"
	# Where the time is over while a worker is asked, go calls that a failure of the target. One that has failed has an input that shows it.
	if grep -q 'context deadline exceeded' "$said" && ! grep -q 'Failing input written' "$said" && ! grep -q '_test.go:' "$said"; then
		continue
	fi
	exit 1
done
