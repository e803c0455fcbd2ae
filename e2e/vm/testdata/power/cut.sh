# Power cuts at acts of image import and of an up whose nodes keep what they write: the file system of /var/lib/nsnet loses what
# is not on disk, /run is empty. Then gc succeeds, all of the store can be read, and the same commands succeed.
work=$(mktemp -d)
cd "$work"
mkdir -p one/bin one/d
cp /usr/bin/busybox one/bin/busybox
for applet in sh ls cat sleep; do ln -s busybox one/bin/$applet; done
for n in 1 2 3 4 5 6; do echo content$n >one/d/$n; done
tar -C one -cf one.tar .
sum=$(sha256sum one.tar | cut -d ' ' -f 1)
printf '{"os":"linux","architecture":"amd64","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$sum" >config.json
echo '[{"Config":"config.json","RepoTags":["local/box:1"],"Layers":["one.tar"]}]' >manifest.json
tar -cf box.tar manifest.json config.json one.tar
cat >box.yaml <<'EOT'
name: box
nodes: {a: {image: "local/box:1", persist: true}, b: {image: "local/box:1"}}
links:
  - {endpoints: ["a:eth0", "b:eth0"], addresses: [10.0.0.1/24, 10.0.0.2/24]}
EOT
truncate -s 64M disk
mkfs.ext4 -q -F disk
mkdir -p /var/lib/nsnet

both() {
	nsnet-failpoint image import box.tar local/box:1 && nsnet-failpoint up box.yaml
}
# reboot: nothing of before is left but what is on the disk.
reboot() {
	nsnet down box >/dev/null 2>&1 || :
	godown /var/lib/nsnet
	umount /var/lib/nsnet
	rm -rf /run/nsnet /run/netns /etc/netns
	mount -o loop disk /var/lib/nsnet
}

mount -o loop disk /var/lib/nsnet
mkdir -m 755 /run/trace
NSNET_TRACE=/run/trace/all both >/dev/null
nsnet down --purge box
umount /var/lib/nsnet
# Those of the disk: what is in /run is gone with the power anyway.
grep -nE 'unpack|/var/lib/nsnet|kept|describe|sync|rename|write|clone lab init|symlink|send message (100|108)' /run/trace/all | cut -d : -f 2- | sort -u >acts
set +x
total=$(wc -l <acts)
every=1
[ "$(cat /usr/share/faults)" = full ] || every=$((total / 12 + 1))
n=0 tried=0
while read -r act; do
	n=$((n + 1))
	[ $((n % every)) = 0 ] || continue
	tried=$((tried + 1))
	mkfs.ext4 -q -F disk
	mount -o loop disk /var/lib/nsnet
	NSNET_FAIL="$act=kill" both >out 2>&1 && fail "not killed at $act"
	reboot
	nsnet gc >out 2>&1 || fail "gc after a power cut at $act: $(cat out)"
	nsnet image ls --json >out 2>&1 || fail "image ls after a power cut at $act: $(cat out)"
	both >out 2>&1 || fail "up after a power cut at $act: $(cat out)"
	[ "$(nsnet exec box/a -- cat /d/1 /d/6)" = "content1
content6" ] || fail "the image is another one after a power cut at $act"
	nsnet exec box/a -- sh -c 'echo kept >/kept'
	nsnet down --purge box >out 2>&1 || fail "down after a power cut at $act: $(cat out)"
	umount /var/lib/nsnet
done <acts
set -x
echo "goal 9: $tried of $total acts"
[ $tried -ge 10 ]
rmdir /var/lib/nsnet
rm -r /run/trace
cd /root
rm -r "$work"
