# The contract with every controller of version 1, beside a version 2 tree that has none.
for c in cpu cpuset memory pids blkio cpuacct devices freezer; do
	mkdir -p "/tmp/v1/$c"
	mount -t cgroup -o "$c" "$c" "/tmp/v1/$c"
done
cgroups.test -test.run "$(cat /usr/share/contract)" -test.v >/tmp/contract 2>&1 || { cat /tmp/contract; fail contract; }
umount /tmp/v1/*
rmdir /tmp/v1/* /tmp/v1
