# --vlan on a bridge that filters VLANs, which the machine's own kernel may not have.
containers=
for i in 1 2 3 4; do
	unshare -n sleep 1000 &
	containers="$containers $!"
done
set -- $containers
ready() { for p; do [ "$(readlink /proc/$p/ns/net)" != "$(readlink /proc/1/ns/net)" ] || return 1; done; }
eventually ready "$@"
inside() {
	p=$1
	shift
	nsenter -t "$p" -n "/usr/bin/$@"
}

ip link add br9 type bridge vlan_filtering 1
ip link set br9 up
nsnet attach --pid $1 --bridge br9 --vlan 10 --ip 10.9.0.1/24 --ip fd00:9::1/64
nsnet attach --pid $2 --bridge br9 --vlan 10 --ip 10.9.0.2/24 --ip fd00:9::2/64
nsnet attach --pid $3 --bridge br9 --vlan 20 --ip 10.9.0.3/24 --ip fd00:9::3/64
nsnet attach --pid $4 --bridge br9 --ip 10.9.0.4/24 # the bridge's own, 1

# The same VLAN reaches, at once; another does not, in neither direction.
inside $1 ping -c 1 -W 10 10.9.0.2
inside $1 ping -c 1 -W 10 fd00:9::2
refused 1 inside $1 ping -c 1 -W 1 10.9.0.3
refused 1 inside $3 ping -c 1 -W 1 10.9.0.1
refused 1 inside $3 ping -c 1 -W 1 fd00:9::1
refused 1 inside $4 ping -c 1 -W 1 10.9.0.1
refused 1 inside $1 ping -c 1 -W 1 10.9.0.4

# A port of VLAN 10 has no other, and takes and gives frames without a tag.
port=$(ls /sys/class/net/br9/brif | head -n 1)
said=$(bridge vlan show)
[ "$(echo "$said" | grep -c ' 10 PVID Egress Untagged')" = 2 ] || fail "not two ports of VLAN 10: $said"
[ "$(echo "$said" | grep -c ' 20 PVID Egress Untagged')" = 1 ] || fail "not one port of VLAN 20: $said"
[ "$(bridge vlan show dev "$port" | grep -c PVID)" = 1 ] || fail "port $port: $said"

# The same members on a bridge that does not filter: refused, and nothing done.
ip link add br8 type bridge
ip link set br8 up
refused 7 nsnet attach --pid $1 --ifname eth2 --bridge br8 --vlan 10 --ip 10.8.0.1/24
has "$said" 'filter'
[ -z "$(ls /sys/class/net/br8/brif)" ]

for p; do nsnet detach --pid "$p" --all; done
[ -z "$(ls /sys/class/net/br9/brif)" ]
kill -9 "$@"
wait "$@" 2>/dev/null || :
ip link del br8
ip link del br9
