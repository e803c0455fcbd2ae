# The acts at which the power may be cut, for the test to choose from.
. /usr/share/box.sh
mkfs.ext4 -q -F /dev/vda
mount /dev/vda /var/lib/nsnet
mkdir -m 755 /run/trace
NSNET_TRACE=/run/trace/all both >/dev/null
nsnet down --purge box
disk_acts /run/trace/all | sed 's/^/act /'
umount /var/lib/nsnet
rm -r /run/trace /root/box.yaml
rmdir /var/lib/nsnet
