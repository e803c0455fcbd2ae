# Power cuts at acts of image import and of an up whose nodes keep what they write: the file system of /var/lib/nsnet loses what
# is not on disk, /run is empty. Then gc succeeds, all of the store can be read, and the same commands succeed.
. /usr/share/box.sh
work=$(mktemp -d)
cd "$work"
truncate -s 64M disk
mkfs.ext4 -q -F disk

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
disk_acts /run/trace/all >acts
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
	whole "$act"
	umount /var/lib/nsnet
done <acts
set -x
echo "goal 9: the file system was cut off at $tried of $total acts"
[ $tried -ge 10 ]
rmdir /var/lib/nsnet
rm -r /run/trace /root/box.yaml
cd /root
rm -r "$work"
