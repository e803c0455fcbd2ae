#!/bin/sh
# Builds nsnet, brings up a first lab, shows it at work, and takes it down again.
set -eu
cd "$(dirname "$0")/.."
lab=examples/topologies/demo.yaml

as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "first-lab.sh: needs root, or sudo" >&2; exit 1; }
	as_root=sudo
fi

sh scripts/build.sh bin/nsnet

show() {
	echo
	echo "\$ $*"
	$as_root "$@"
}

trap '$as_root bin/nsnet down demo >/dev/null 2>&1 || :' EXIT
trap 'exit 1' HUP INT TERM

show bin/nsnet up $lab
show bin/nsnet ps demo
# A node has the host's programs, and not every Debian has ping. A TCP connection to a port where
# nobody listens is refused by the node itself, which shows as well that it is reached.
if $as_root bin/nsnet exec demo/client -- sh -c 'command -v ping' >/dev/null; then
	show bin/nsnet exec demo/client -- ping -c 3 -i 0.2 web
else
	echo
	echo '$ bin/nsnet exec demo/client -- bash -c "</dev/tcp/web/7"    # no ping here: knock on a port'
	answer=$($as_root bin/nsnet exec demo/client -- timeout 5 bash -c '</dev/tcp/web/7' 2>&1) || :
	echo "$answer"
	case $answer in
	*refused*) echo "web has answered: the port is closed, the wire works" ;;
	*) echo "first-lab.sh: no answer from web" >&2; exit 1 ;;
	esac
fi
show bin/nsnet down demo
echo
echo "nsnet works here. Next: bin/nsnet up $lab, and bin/nsnet help."
