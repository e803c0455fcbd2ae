# The power is cut right before this act of import or up, on a disk that has nothing else. Half of the times a while later: by then
# the journal is on the disk, with the names of files whose content is not.
. /usr/share/box.sh
act=$(cat /usr/share/act)
mkfs.ext4 -q -F /dev/vda
mount -o commit=1 /dev/vda /var/lib/nsnet
mkdir -m 755 /run/trace
export NSNET_TRACE=/run/trace/all NSNET_FAIL="$act=delay(600000)"
both >/tmp/said 2>&1 &
work=$!
until grep -qxF "$act" /run/trace/all 2>/dev/null; do
	kill -0 $work || fail "it did not come to $act: $(cat /tmp/said)"
	sleep 0.02
done
sleep "$(cat /usr/share/later)"
power_cut
