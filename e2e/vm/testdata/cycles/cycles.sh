# Labs that come and go leave nothing in the kernel: FAULTS goal 6, on a machine that does nothing else.
cat >/root/cycle.yaml <<'EOT'
name: cycle
nodes:
  a: {command: [sleep, infinity], limits: {memory: 64MiB}, dns: {nameservers: [192.0.2.53]}}
  b: {}
  c: {}
  d: {}
bridges:
  lan0: {address: 10.78.0.1/24, nat: true}
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
  - {endpoints: ["c:p0", "d:p0"], addresses: [10.1.1.1/32, 10.1.1.2/32]}
EOT
cycles() {
	n=0
	while [ $n -lt "$1" ]; do
		nsnet up /root/cycle.yaml >/dev/null 2>&1 && nsnet down cycle >/dev/null 2>&1 || fail "cycle $n"
		n=$((n + 1))
	done
}
# Objects of these caches, when what the kernel frees later is freed, and groups that are gone and still counted.
caches='net_namespace pid_namespace mnt_cache'
look() {
	sleep 2
	echo 3 >/proc/sys/vm/drop_caches
	for c in $caches; do
		echo 1 >/sys/kernel/slab/$c/shrink
		cut -d ' ' -f 1 /sys/kernel/slab/$c/objects # that of all caches with which the kernel has merged it
	done
	sed -n 's/nr_dying_descendants //p' /sys/fs/cgroup/cgroup.stat
}
count=40
[ "$(cat /usr/share/faults)" != full ] || count=1000
cycles 10
before=$(look)
cycles $count
after=$(look)
set -- $before
measured=
for name in $caches dying_groups; do
	had=$1
	shift
	has=$(echo $after | cut -d ' ' -f 1)
	after=$(echo $after | cut -d ' ' -f 2-)
	measured="$measured $name $had -> $has,"
	# One of a hundred cycles, or a few that are always there or not.
	[ $((has - had)) -le $((3 + count / 100)) ] || fail "$name: $had, and $count cycles later $has"
done
echo "goal 6: over $count cycles:${measured%,}"
rm /root/cycle.yaml
