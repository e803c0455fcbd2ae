# Below a systemd that manages control groups, a lab's are made in a scope that it delegates, and nowhere else.
mkdir -p /sys/fs/cgroup/container /etc/systemd/system
echo '+cpu +cpuset +memory +pids +io' >/sys/fs/cgroup/cgroup.subtree_control
cat >/root/systemd.yaml <<'EOT'
name: sd
nodes:
  small: {command: [tail, /dev/zero], limits: {memory: 10MiB}}
  few: {limits: {pids: 20, cpu: 0.2}}
  free: {}
EOT
cat >/etc/systemd/system/test.service <<'EOT'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
Environment=PATH=/usr/bin HOME=/root
ExecStart=/usr/bin/sh /root/inside.sh
EOT
cat >/etc/systemd/system/test.target <<'EOT'
[Unit]
DefaultDependencies=no
Wants=test.service
After=test.service
EOT
cat >/root/inside.sh <<'EOT'
exec >>/root/said 2>&1
fail() { echo "FAIL: $*"; exit 1; }
eventually() { n=0; until "$@" >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 100 ] || fail "not within 30 s: $*"; sleep 0.3; done; }
trap 'echo "FAIL: inside ends with $?"' EXIT
set -eux
ls -d /sys/fs/cgroup/init.scope
nsnet up /root/systemd.yaml
[ ! -e /sys/fs/cgroup/nsnet ]
group=/sys/fs/cgroup/nsnet.slice/nsnet-sd.scope
[ "$(cat $group/small/memory.max)" = 10485760 ]
[ "$(cat $group/few/pids.max)" = 20 ]
max=$(cat $group/memory.max)
[ "$max" != max ] || fail 'nothing bounds the memory of the lab'
[ "$(systemctl show -P Delegate nsnet-sd.scope)" = yes ]
killed() { nsnet ps sd | grep -q 'small *exited(137,oom)'; }
eventually killed
# systemd sets up its units anew, and leaves the lab's groups as they are.
systemctl daemon-reload
[ "$(cat $group/few/cpu.max)" = "20000 100000" ]
[ "$(cat $group/memory.max)" = "$max" ]
nsnet update free --memory 64MiB
[ "$(cat $group/free/memory.max)" = 67108864 ]
nsnet pause sd
nsnet resume sd
nsnet down sd
[ ! -e $group ]
! systemctl is-active nsnet-sd.scope || fail 'the scope outlives its lab'
nsnet up /root/systemd.yaml
[ "$(cat $group/few/pids.max)" = 20 ]
nsnet down sd
# A lab without limits, of its own and of nodes, gets its scope when it needs one; one that is killed leaves nothing.
printf 'name: late\nlimits: {memory: max}\nnodes: {a: {}, b: {}}\n' >/root/late.yaml
nsnet up /root/late.yaml
[ ! -e /sys/fs/cgroup/nsnet.slice/nsnet-late.scope ]
nsnet update late/a --pids 30
nsnet exec late/a -- true
[ "$(cat /sys/fs/cgroup/nsnet.slice/nsnet-late.scope/a/pids.max)" = 30 ]
kill -9 "$(nsnet inspect late --json | sed -n 's/.*"init_pid": \([0-9]*\).*/\1/p' | head -n 1)"
nsnet ps
[ ! -e /sys/fs/cgroup/nsnet.slice/nsnet-late.scope ]
trap - EXIT
echo inside: all is well
EOT
# A container of its own: namespaces, and a part of the tree that systemd takes for all of it.
cat >/root/container.sh <<'EOT'
mount -t proc proc /proc && umount /sys/fs/cgroup && mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs run /run
exec env container=test /usr/bin/systemd --unit=test.target --log-target=console --log-level=notice --show-status=no
EOT
# Alone in its part of the tree: with a process of somebody else there systemd can pass on no controller.
/usr/bin/unshare --pid --mount --ipc --uts --fork --kill-child \
	sh -c 'echo 0 >/sys/fs/cgroup/container/cgroup.procs; exec /usr/bin/unshare --cgroup sh /root/container.sh' >/tmp/systemd 2>&1 &
container=$!
over() { grep -qE 'inside: all is well|^FAIL' /root/said; }
: >/root/said
n=0
until over || [ $n -ge 300 ]; do # a whole boot of systemd, in an emulator that others share
	n=$((n + 1))
	sleep 0.3
done
if ! grep -q 'inside: all is well' /root/said; then
	cat /tmp/systemd /root/said
	fail inside
fi
kill -9 $container
wait $container || :
empty() { find /sys/fs/cgroup/container -depth -type d -exec rmdir {} ';'; [ ! -e /sys/fs/cgroup/container ]; }
eventually empty
rm -r /etc/systemd /root/systemd.yaml /root/late.yaml /root/inside.sh /root/container.sh /root/said
