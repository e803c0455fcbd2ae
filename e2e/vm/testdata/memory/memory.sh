# A lab whose nodes fill memory, by files and by programs, all that they are given: the kernel ends these, and nothing of the host's, of which
# there is a process that it would take before any other if the whole machine were short.
case $(uname -r) in 6.1.*) # on version 1
	mkdir /tmp/v1
	mount -t cgroup -o memory memory /tmp/v1
	;;
esac
cat >/root/memory.yaml <<'END'
name: memory
nodes: {a: {}, b: {}, c: {}, d: {}}
END
sleep 1000 &
host=$!
echo 1000 >/proc/$host/oom_score_adj
nsnet up /root/memory.yaml
said=$(nsnet inspect memory)
has "$said" 'memory .* of [0-9.]+ MiB for all nodes together'
# Each file is a quarter of the machine's memory, or what is left.
full() { nsnet exec memory/$1 -- dd if=/dev/zero of=$2 bs=64k 2>/root/dd || echo "$1 $2: $(tail -n 1 /root/dd)"; }
for n in a b c d; do
	full $n /file
	full $n /dev/shm/file
done
nsnet exec memory/d -- tail /dev/zero && fail 'a program in the node has taken all of the memory' || :
said=$(nsnet inspect memory)
has "$said" 'killed'
kill -0 $host || fail 'a process of the host was killed for it'
dmesg | grep -F constraint= | tail -n 3
! dmesg | grep -q 'constraint=CONSTRAINT_NONE' || fail 'the whole machine has been short of memory'
nsnet ps memory
nsnet down memory
kill $host
wait $host || :
if [ -e /tmp/v1 ]; then
	[ ! -e /tmp/v1/nsnet ]
	umount /tmp/v1
	rmdir /tmp/v1
fi
[ ! -e /sys/fs/cgroup/nsnet ]
rm /root/memory.yaml /root/dd
