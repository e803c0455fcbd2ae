# The boot after a power cut, with the disk as it was left.
. /usr/share/box.sh
mount /dev/vda /var/lib/nsnet
whole "$(cat /usr/share/before)"
umount /var/lib/nsnet
rm /root/box.yaml
rmdir /var/lib/nsnet
