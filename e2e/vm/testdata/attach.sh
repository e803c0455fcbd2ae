# A NIC for a container that runs: on a bridge, point to point, as a macvlan, on a lab.
unshare -n sleep 1000 &
one=$!
unshare -n sleep 1000 &
two=$!
eventually sh -c "[ \$(readlink /proc/$one/ns/net) != \$(readlink /proc/1/ns/net) ] && [ \$(readlink /proc/$two/ns/net) != \$(readlink /proc/1/ns/net) ]"
in_one() { nsenter -t $one -n "/usr/bin/$@"; }
in_two() { nsenter -t $two -n "/usr/bin/$@"; }

ip link add br7 type bridge
ip link set br7 up
ip address add 10.7.0.1/24 dev br7
ip address add fd00:7::1/64 dev br7 nodad

nsnet attach --pid $one --bridge br7 --ip 10.7.0.2/24 --ip fd00:7::2/64 --default-route
nsnet attach --pid $two --bridge br7 --ip 10.7.0.3/24 --ip fd00:7::3/64
in_one ping -c 1 -W 10 10.7.0.3
in_one ping -c 1 -W 10 fd00:7::3
ping -c 1 -W 10 10.7.0.2
ping -c 1 -W 10 fd00:7::2
said=$(in_one ip route)
has "$said" '^default via 10.7.0.1 dev eth1'
nsnet detach --pid $one --all
nsnet detach --pid $two --all
[ -z "$(in_one ip -o link | grep eth1)" ]
[ -z "$(ls /sys/class/net/br7/brif)" ]

# A cable, without bridge or subnet.
nsnet attach --pid $one --ip 10.1.1.1/32 --peer-pid $two --peer-ip 10.1.1.2/32
in_one ping -c 1 -W 10 10.1.1.2
in_two ping -c 1 -W 10 10.1.1.1
nsnet detach --pid $two --ifname eth1
[ -z "$(in_one ip -o link | grep eth1)" ]

# Two macvlans of one parent reach each other.
ip link add dummy7 type dummy
ip link set dummy7 up
nsnet attach --pid $one --macvlan dummy7 --ip 10.8.0.1/24
nsnet attach --pid $two --macvlan dummy7 --ip 10.8.0.2/24
said=$(in_one ip -d link show eth1)
has "$said" 'macvlan mode bridge'
in_one ping -c 1 -W 10 10.8.0.2
nsnet detach --pid $one --all
nsnet detach --pid $two --all

# A lab's bridge.
cat >/root/host.yaml <<'EOF'
name: joined
nodes: {a: {}}
bridges: {lan0: {address: 10.79.0.1/24}}
links: [{endpoints: ["a:eth0", "lan0"]}]
EOF
nsnet up /root/host.yaml
nsnet attach --pid $one --bridge joined/lan0 --ip auto
nsnet exec joined/a -- ping -c 1 -W 10 10.79.0.3
nsnet detach --pid $one --all
nsnet down joined

# Whatever the container leaves when it dies, nothing of it stays.
nsnet attach --pid $two --bridge br7 --ip 10.7.0.3/24
kill -9 $one $two
wait $one $two 2>/dev/null || :
ip link del dummy7
no_ports() { [ -z "$(ls /sys/class/net/br7/brif)" ]; }
eventually no_ports
ip link del br7
nsnet ps
rm /root/host.yaml
