# FAULTS goal 16: a card of the host that was lent comes home as it was, whoever is killed and whenever, with the next command.
cat >/root/lab.yaml <<'EOT'
name: borrower
nodes: {a: {}, b: {}}
EOT
set +x
# A card as hosts have them: settings, addresses in an order, routes in two tables.
sysctl -qw net.ipv4.conf.eth0.rp_filter=2 net.ipv6.conf.eth0.accept_ra=0 net.ipv6.conf.eth0.accept_dad=0
ip link set eth0 address 02:00:5e:00:53:01 alias 'uplink, do not touch' mtu 1400
ip address add 192.0.2.10/24 brd + dev eth0
ip address add 192.0.2.9/24 dev eth0
ip address add 198.51.100.1/32 dev eth0 scope link
ip address add 2001:db8::10/64 dev eth0 nodad
ip address add 2001:db8::9/64 dev eth0 nodad
ip link set eth0 up
ip route add default via 192.0.2.1 src 192.0.2.9 metric 50
ip route add 203.0.113.0/24 via 192.0.2.1 table 100
ip -6 route add default via 2001:db8::1 metric 50
ip -6 route add 2001:db8:5::/48 via fe80::1 dev eth0

view() {
	ip -d -o link show eth0 | sed 's/^[0-9]*: //' # without its index, which may be another one's
	ip -o address show dev eth0 | sed 's/^[0-9]*: //'
	ip route show table all
	ip -6 route show table all | grep -v '^multicast'
	grep -s . /proc/sys/net/ipv[46]/conf/eth0/*
}
home() {
	view >/tmp/now 2>/dev/null
	cmp -s /tmp/was /tmp/now
}
eventually grep -q 1 /sys/class/net/eth0/carrier
settled() {
	view >/tmp/was
	sleep 0.3
	home
}
eventually settled # its link-local address
snapshot >/tmp/before # of what the card is from now on

# Who borrows | what is killed | the next command. FAIL are failpoints: of attach, or of the detach after it. With two of them the worker is
# killed at the first and nsnet, which would take back what was done, at the second. The mount keeps the target's namespace.
cat >/tmp/tries <<'EOT'
container | target | ps
container | FAIL worker set accept_dad of wan;netlink move eth0 home | gc
node | init | ps
container | FAIL detach netlink bring up eth0 | gc
container | target | gc
node | node | ps
container | target and mount | ps
container | FAIL create the record .attaching | ps
container | FAIL fork worker | gc
container | FAIL worker move eth0;netlink move eth0 home | ps
container | target | up /root/lab.yaml
container | FAIL worker add address 192.0.2.77/24 to wan;netlink move eth0 home | ps
container | FAIL worker complete the record;netlink move eth0 home | detach
node | init | up /root/lab.yaml
container | FAIL detach mark the record .detaching | detach
container | FAIL detach netlink move eth0 home | down --all
node | init | gc
container | FAIL detach netlink restore MAC and MTU of eth0 | ps
container | target | ps --json
container | FAIL detach remove the record .detaching | ps
node | init | down borrower
EOT
every=6
[ "$(cat /usr/share/faults)" != full ] || every=1
line=0 tried=0 came=0
while IFS='|' read -r who kill next; do
	line=$((line + 1))
	[ $((line % every)) = $((1 % every)) ] || continue
	what="try $line:$kill of $who, then$next"
	unshare -n sleep 1000 &
	container=$!
	eventually sh -c "[ \$(readlink /proc/$container/ns/net) != \$(readlink /proc/1/ns/net) ]"
	victim=$container
	case $who in
	node*)
		nsnet up /root/lab.yaml >/dev/null 2>&1
		target='--node borrower/a'
		pids=$(nsnet inspect borrower --json)
		victim=$(echo "$pids" | sed -n 's/.*"init_pid": \([0-9]*\).*/\1/p' | head -n 1)
		case $kill in *node*) victim=$(nsnet inspect borrower/a --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p' | head -n 1) ;; esac
		;;
	*) target="--pid $container" ;;
	esac
	attach="nsnet attach $target --host-nic eth0 --ifname wan --mac 02:00:5e:00:53:77 --ip 192.0.2.77/24"
	points=${kill# FAIL } points=${points% }
	case $kill in
	' FAIL detach '*)
		$attach >/tmp/said 2>&1 || fail "$what: attach: $(cat /tmp/said)"
		NSNET_FAIL="${points#detach }=kill" nsnet detach $target --all >/tmp/said 2>&1 && fail "$what: detach was not killed"
		;;
	' FAIL '*)
		NSNET_FAIL="$(echo "$points" | sed 's/;/=kill;/')=kill" $attach >/tmp/said 2>&1 && fail "$what: attach was not killed"
		;;
	*)
		$attach >/tmp/said 2>&1 || fail "$what: attach: $(cat /tmp/said)"
		! home || fail "$what: the card is not lent"
		case $kill in *mount*) umount /run/nsnet/.attach/*.netns ;; esac
		kill -9 "$victim"
		dead() { ! kill -0 "$victim" || grep -q '^State:.Z' "/proc/$victim/status"; }
		eventually dead
		case $kill in *mount*) eventually ip link show wan ;; esac # the kernel has brought it home
		;;
	esac
	[ "$next" != ' detach' ] || next="detach $target --all"
	nsnet $next >/tmp/said 2>&1 || fail "$what: $(cat /tmp/said)"
	tried=$((tried + 1))
	n=0
	until home || [ $n = 20 ]; do # the kernel gives addresses their last flags, and IPv6 its routes, a moment after the card is up
		n=$((n + 1))
		sleep 0.1
	done
	if home; then
		came=$((came + 1))
	else
		echo "$what: the card was and is:"
		diff /tmp/was /tmp/now || :
	fi
	nsnet down --all >/dev/null 2>&1
	kill -9 $container 2>/dev/null || :
	wait $container 2>/dev/null || :
done </tmp/tries
echo "goal 16: $came of $tried times a lent virtio card came home as it was"
[ $came = $tried ] && [ $tried -ge 4 ] || fail "the card is not as it was"
rm /root/lab.yaml
