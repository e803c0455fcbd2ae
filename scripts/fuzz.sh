#!/bin/sh
# Runs every fuzz target of the repository for a time, 60s unless given.
set -eu
cd "$(dirname "$0")/.."
time=${1:-60s}

git grep -q --untracked '^func Fuzz' -- '*_test.go' || { echo "no fuzz targets"; exit 0; }
git grep -o --untracked '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | while IFS=: read -r file func; do
	name=${func#func }
	echo "$name in $(dirname "$file")"
	# By default one input that finds something new is made smaller for up to a minute.
	go test -run='^$' -fuzz="^$name\$" -fuzztime="$time" -fuzzminimizetime=10x "./$(dirname "$file")" </dev/null
done
