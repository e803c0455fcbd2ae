# An interface keeps IPv6 as on any Linux: in a VRF and out of it, over a down and up; so do VLANs and others made in a node.
cat >/root/six.yaml <<'EOF'
name: six
nodes: {a: {}, b: {}}
bridges: {lan0: {subnet: ["fd00:6::/64"]}}
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
EOF
nsnet up /root/six.yaml
in_a() { nsnet exec six/a -- /usr/bin/ip "$@"; }
local_of() { in_a -6 -o address show dev "$1" scope link -tentative | sed 's/.*inet6 //; s/ .*//'; }
before=$(local_of eth0)
[ "$(echo "$before" | grep -c fe80:)" = 1 ]
same() { [ "$(local_of eth0)" = "$before" ]; }
one_of() { [ "$(local_of "$1" | grep -c fe80:)" = 1 ]; }

# A VRF takes the interface down and up.
in_a link add red type vrf table 10
in_a link set red up
in_a link set eth0 master red
eventually same
has "$(in_a -6 -o address show dev eth0)" 'fd00:6::1/64'
has "$(in_a -6 route show table 10)" 'fd00:6::/64 dev eth0'
eventually nsnet exec six/b -- ping -c 1 -W 2 fd00:6::1
in_a link set eth0 nomaster
eventually same
in_a link set eth0 down
in_a link set eth0 up
eventually same
eventually nsnet exec six/b -- ping -c 1 -W 2 fd00:6::1

in_a link add link eth0 name eth0.5 type vlan id 5
in_a link add d0 type dummy
in_a link add m0 link eth0 type macvlan mode bridge
for l in eth0.5 d0 m0; do
	in_a link set $l up
	eventually one_of $l
done
has "$(nsnet plan /root/six.yaml)" 'nothing to do'
nsnet down six
nothing_left
rm /root/six.yaml
