#!/bin/sh
# Installs what the tests need, on Debian and its kin, by apt-get, fetches the kernels of the virtual
# machines, and makes an image. Does nothing when all of it is there. No service is started or enabled: the tests run their
# own in namespaces.
set -eu
PATH=$PATH:/usr/sbin:/sbin:/usr/lib/frr

# command package; gcc and libc are for go test -race.
needs='
iptables iptables
nft nftables
ip iproute2
ping iputils-ping
bgpd frr
nginx nginx-light
sshd openssh-server
dnsmasq dnsmasq-base
/usr/share/dnsmasq/systemd-helper dnsmasq
bird bird2
keepalived keepalived
dhcpcd dhcpcd
ipsec strongswan
charon-systemd charon-systemd
swanctl strongswan-swanctl
openvpn openvpn
ptp4l linuxptp
tcpdump tcpdump
ps procps
iperf3 iperf3
mn mininet
brctl bridge-utils
strace strace
dockerd docker.io
docker docker.io
runc runc
podman podman
mmdebstrap mmdebstrap
nsenter util-linux
mergerfs mergerfs
systemctl systemd
mkfs.ext4 e2fsprogs
gcc gcc
git git
make make
qemu-system-x86_64 qemu-system-x86
'

static_busybox() {
	command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1
}

# What the tests take from caches of their own: kernels, and a Debian with daemons as an image.
fetch() {
	sh "$(dirname "$0")/fetch-kernels.sh"
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/nsnet
	if [ ! -d "$cache/daemons" ] && [ "$(id -u)" = 0 ]; then
		echo "making an image with daemons"
		mkdir -p "$cache"
		sh "$(dirname "$0")/debian-image.sh" "$cache/daemons" frr bird2 keepalived dnsmasq dhcpcd nginx-light openssh-server \
			strongswan strongswan-swanctl charon-systemd openvpn linuxptp iproute2 iputils-ping
	fi
}

missing=$(echo "$needs" | while read -r program package; do
	[ -z "$program" ] || command -v "$program" >/dev/null || echo "$package"
done)
static_busybox || missing="$missing busybox-static"
[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
missing=$(echo $missing) # one line
[ -n "$missing" ] || { fetch; exit; }

if [ "$(id -u)" != 0 ]; then
	echo "setup-test.sh: needs root to install: $missing" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "setup-test.sh: no apt-get here; install these, as Debian names them: $missing" >&2
	exit 1
fi

# invoke-rc.d(8) asks policy-rc.d before it starts a service; 101 is no.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
restore() {
	rm -f "$policy" "$log"
	[ ! -e "$policy.nsnet-saved" ] || mv "$policy.nsnet-saved" "$policy"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
[ ! -e "$policy" ] || mv "$policy" "$policy.nsnet-saved"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

install() {
	DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
		apt-get install -qq -y --no-install-recommends "$@" </dev/null >"$log" 2>&1
}

give_up() {
	cat "$log" >&2
	echo "setup-test.sh: cannot install: $*" >&2
	exit 1
}

echo "installing: $missing"
# Package lists that are fresh enough need no update.
install $missing || { apt-get update -qq >"$log" 2>&1 && install $missing; } || give_up $missing

# Docker's client is a package of its own in newer releases.
command -v docker >/dev/null || install docker-cli || give_up docker-cli

# Not at the next boot either, where this script has brought them.
if [ -d /run/systemd/system ]; then
	for pair in frr:frr nginx-light:nginx openssh-server:ssh bird2:bird keepalived:keepalived dnsmasq:dnsmasq dhcpcd:dhcpcd \
		strongswan:strongswan-starter charon-systemd:strongswan openvpn:openvpn docker.io:docker.service docker.io:docker.socket docker.io:containerd.service \
		podman:podman.socket podman:podman-auto-update.timer podman:podman-restart.service; do
		case " $missing " in
		*" ${pair%:*} "*) systemctl disable --quiet "${pair#*:}" ;;
		esac
	done
fi

fetch
