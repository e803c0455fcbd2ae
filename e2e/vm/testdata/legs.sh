# What the host forwards for a lab and what not, and how many neighbours a node can be.
cat >/root/legs.yaml <<'YAML'
name: legs
nodes:
  a: {routes: [{to: default, via: 10.65.0.1}, {to: "::/0", via: "fd00:65::1"}]}
  b: {}
bridges: {lan0: {address: [10.65.0.1/16, "fd00:65::1/64"], nat: true}}
links:
  - {endpoints: ["a:eth0", "lan0"], address: [10.65.0.2/16, "fd00:65::2/64"]}
  - {endpoints: ["b:eth0", "lan0"], address: [10.65.0.3/16, "fd00:65::3/64"]}
YAML
# Two machines beside the host, which have it for their router.
for n in 1 2; do
	ip netns add out$n
	ip link add out$n type veth peer name eth0 netns out$n
	ip address add 203.0.$n.1/24 dev out$n
	ip address add fd00:203:$n::1/64 dev out$n nodad
	ip link set out$n up
	ip -n out$n address add 203.0.$n.2/24 dev eth0
	ip -n out$n address add fd00:203:$n::2/64 dev eth0 nodad
	ip -n out$n link set eth0 up
	ip -n out$n route add default via 203.0.$n.1
	ip -n out$n route add default via fd00:203:$n::1
done
from() {
	space=$1
	shift
	ip netns exec "$space" ping -c 1 -W 1 "$@" >/dev/null
}
eventually from out1 203.0.1.1
eventually from out1 fd00:203:1::1

nsnet up /root/legs.yaml
has "$(cat /proc/sys/net/ipv4/ip_forward)" '^2$'
for to in 203.0.1.2 203.0.2.2 fd00:203:1::2 fd00:203:2::2 10.65.0.1 fd00:65::1; do
	eventually nsnet exec legs/a -- ping -c 1 -W 1 $to
done
for to in 10.65.0.2 fd00:65::2 203.0.2.2 fd00:203:2::2; do
	refused 1 from out1 $to
done
has "$(nsnet plan /root/legs.yaml)" 'nothing to do'

# A hundred and fifty addresses more than the file has.
nsnet exec legs/a -- sh -c 'for i in $(seq 150); do ip address add 10.65.1.$i/32 dev eth0; ping -c 1 -W 1 -I 10.65.1.$i 10.65.0.1 >/dev/null & done; wait' || :
[ "$(ip -4 neigh | wc -l)" -lt 100 ] || fail "the host knows $(ip -4 neigh | wc -l) neighbours"
ip neigh flush all
for to in 10.65.0.3 fd00:65::3 10.65.0.2; do
	ping -c 1 -W 1 $to
done

# A leg that is made anew is looked at as the first one was.
leg=$(ip -o -4 address show | sed -n 's/.*: \([^ ]*\) *inet 10.65.0.1.*/\1/p')
ip link del "$leg"
refused 10 nsnet plan /root/legs.yaml
nsnet up /root/legs.yaml
nsnet exec legs/a -- ip address add 198.51.100.7/32 dev lo
refused 1 nsnet exec legs/a -- ping -c 1 -W 1 -I 198.51.100.7 10.65.0.1
eventually nsnet exec legs/a -- ping -c 1 -W 1 203.0.1.2
refused 1 from out1 10.65.0.2

# Somebody else has the host forward, and it does from then on.
echo 1 >/proc/sys/net/ipv4/ip_forward
eventually from out1 203.0.2.2
refused 1 from out1 10.65.0.2
nsnet down legs
from out1 203.0.2.2
echo 0 >/proc/sys/net/ipv4/ip_forward
for n in 1 2; do
	ip link del out$n
	ip netns del out$n
done
umount /run/netns 2>/dev/null || :
rmdir /run/netns 2>/dev/null || :
nothing_left
rm /root/legs.yaml
