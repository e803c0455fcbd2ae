#!/bin/sh
# Fetches the kernels that e2e/vm boots, by apt-get, and unpacks them into a cache directory; nothing is
# installed, and no list of packages of this machine is changed. Does nothing when they are there.
set -eu

cache=${NSNET_KERNELS:-${XDG_CACHE_HOME:-$HOME/.cache}/nsnet/kernels}
# The version, and the suite of Debian that has it where the machine's own sources have not.
kernels='6.1 bookworm
6.12 bookworm-backports'

missing=$(echo "$kernels" | while read -r version suite; do
	[ -d "$cache/$version" ] || echo "$version $suite"
done)
[ -n "$missing" ] || exit 0

if [ "$(uname -m)" != x86_64 ]; then
	echo "fetch-kernels.sh: the virtual machines are amd64 only; their tests are not run here" >&2
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "fetch-kernels.sh: no apt-get here; unpack Debian's linux-image-VERSION-cloud-amd64 as $cache/VERSION for:" $missing >&2
	exit 1
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# package VERSION OPTION...: the name of the newest package of that kernel.
package() {
	v=$1
	shift
	apt-cache "$@" depends linux-image-cloud-amd64 2>/dev/null | sed -n "s/^  Depends: \\(linux-image-$v\\..*\\)/\\1/p" | tail -n 1
}

give_up() {
	cat "$work/log" >&2
	echo "fetch-kernels.sh: cannot fetch kernel $1; see above" >&2
	exit 1
}

# mirror: where this machine gets Debian from.
mirror() {
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
		grep -v security | head -n 1
}

echo "$missing" | while read -r version suite; do
	echo "fetching kernel $version"
	: >"$work/log"
	set --
	name=$(package "$version")
	if [ -z "$name" ]; then
		# Lists of their own, below the cache.
		mkdir -p "$work/lists/partial" "$work/archives/partial"
		from=$(mirror)
		[ -n "$from" ] || { echo "no mirror of Debian among this machine's sources" >"$work/log"; give_up "$version"; }
		key=/usr/share/keyrings/debian-archive-keyring.gpg
		[ -e $key ] && key="[signed-by=$key]" || key=
		echo "deb $key $from $suite main" >"$work/sources.list"
		set -- -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
			-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User=
		apt-get "$@" -qq update >"$work/log" 2>&1 || give_up "$version"
		name=$(package "$version" "$@")
	fi
	if [ -z "$name" ]; then
		echo "no linux-image-cloud-amd64 of $version in the machine's sources or in $suite" >>"$work/log"
		give_up "$version"
	fi
	(cd "$work" && apt-get "$@" -qq download "$name") >>"$work/log" 2>&1 || {
		# The machine's own lists may be of an older day.
		[ $# = 0 ] && apt-get -qq update >>"$work/log" 2>&1 && name=$(package "$version") &&
			(cd "$work" && apt-get -qq download "$name") >>"$work/log" 2>&1
	} || give_up "$version"
	dpkg -x "$work/$name"_*.deb "$work/root"
	mv "$work/root" "$cache/$version"
	rm -f "$work"/*.deb
done
