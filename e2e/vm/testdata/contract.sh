# The contract of control groups, as the tests of package cgroups have it, on version 2.
echo 4 >/proc/sys/vm/nr_hugepages
[ "$(cat /proc/sys/vm/nr_hugepages)" = 4 ]
cgroups.test -test.run "$(cat /usr/share/contract)" -test.v >/tmp/contract 2>&1 || { cat /tmp/contract; fail contract; }
! grep -- '--- SKIP' /tmp/contract || fail "not tried"
echo 0 >/proc/sys/vm/nr_hugepages
