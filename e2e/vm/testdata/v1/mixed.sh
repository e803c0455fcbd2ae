# The contract with some controllers of version 1 and the others of version 2, as systemd's hybrid can have it.
for c in cpu pids devices freezer; do
	mkdir -p "/tmp/v1/$c"
	mount -t cgroup -o "$c" "$c" "/tmp/v1/$c"
done
cgroups.test -test.run "$(cat /usr/share/contract)" -test.v >/tmp/contract 2>&1 || { cat /tmp/contract; fail contract; }
! grep -- '--- SKIP' /tmp/contract || fail "not tried"
umount /tmp/v1/*
rmdir /tmp/v1/* /tmp/v1
