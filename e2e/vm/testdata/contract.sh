# The contract of control groups: on version 2, on version 1 beside a version 2 tree, and on a mixture as systemd's hybrid.
tests='^Test(CPUShareOfACore|WeightsShareAProcessor|CPUSet|MemoryIsKilled|MemorySwap|Pids|IO|ReadBPS|DiskErrors|WeightOfDisk|HugePages|RestrictDevices|Create.*|Failed.*|Add.*|RemoveFrozen)$'
contract() {
	/usr/bin/cgroups.test -test.run "$tests" -test.v >/tmp/contract 2>&1 || { cat /tmp/contract; fail "on $1"; }
	echo "on $1: $(grep -c '^--- PASS' /tmp/contract) tests, not tried: $(grep -A1 '^--- SKIP' /tmp/contract | grep -v '^--' | tr '\n' ';')"
}
contract 'version 2'

# controllers NAME...: these as version 1, below a file system of their own.
controllers() {
	for c in "$@"; do
		mkdir -p "/tmp/v1/$c"
		mount -t cgroup -o "$c" "$c" "/tmp/v1/$c" 2>/dev/null || fail "this kernel has no version 1 of $c"
	done
}
release() {
	for d in /tmp/v1/*; do
		umount "$d" && rmdir "$d"
	done
	rmdir /tmp/v1
}
# What version 2 has enabled is not version 1's to take.
for c in $(cat /sys/fs/cgroup/cgroup.subtree_control); do
	echo "-$c" >/sys/fs/cgroup/cgroup.subtree_control
done
controllers cpu pids devices freezer
contract 'some of version 1, the rest of version 2'
controllers cpuset memory blkio cpuacct hugetlb
contract 'version 1 beside a version 2 tree'
release
