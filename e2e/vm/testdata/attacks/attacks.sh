# The tests of attacks, of one package after the other. Their files are on a file system that can be idmapped: tmpfs can from Linux 6.3 on.
export NSNET_STRICT=1 NSNET_BIN=/usr/bin/nsnet NSNET_TEST_PROGRAMS=/usr/share/programs TMPDIR=/var/tmp PATH=/usr/local/bin:/usr/bin
mkdir -p /srv /var/tmp
chmod 1777 /var/tmp
failed=
while read -r dir pattern; do
	cd "/src/$dir"
	"/usr/share/tests/$(echo "$dir" | tr / -)" -test.v -test.parallel 2 -test.timeout 50m -test.run "$pattern" >/tmp/said 2>&1 || failed=yes
	sed "s#^--- #$dir --- #" /tmp/said
done </usr/share/attacks
cd /
[ -z "$failed" ]
