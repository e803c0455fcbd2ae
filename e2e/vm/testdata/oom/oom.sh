# FAULTS goal 15 on control groups of version 2: that a command was killed for want of memory is told at once, with limit and peak. The
# machine is slow, so that no more is asked for than that a ps which begins a second after the kernel's own word tells it.
cat >/root/oom.yaml <<'EOT'
name: oom
nodes:
  small:
    command: "until [ -e /tmp/go ]; do sleep 0.1; done; exec tail /dev/zero"
    limits: {memory: 10MiB}
EOT
nsnet up /root/oom.yaml
now() { cut -d ' ' -f 1 /proc/uptime; }
nsnet exec oom/small -- touch /tmp/go
set +x
n=0 before= start=$(now)
until nsnet ps oom | grep -q 'small *exited(137,oom)'; do
	n=$((n + 1))
	[ $n -lt 500 ] || fail "nsnet ps does not tell that it was killed"
	before=$start start=$(now)
done
told=$(now)
set -x
said=$(nsnet inspect oom/small)
has "$said" 'reason +out of memory: limit 10 MiB, peak [0-9.]+ MiB|reason +out of memory: limit 10 MiB, 1 process killed'
killed=$(dmesg | sed -n 's/^\[ *\([0-9.]*\)\].*Killed process [0-9]* (tail).*/\1/p' | tail -n 1)
awk -v k="$killed" -v t="$told" -v s="$start" -v b="$before" -v r="$(uname -r | cut -d . -f 1-2)" -v said="$(echo "$said" | sed -n 's/.*out of memory: //p')" 'BEGIN {
	printf "goal 15: version 2, kernel %s, emulated: told %.1f s after the kernel has killed it, by a ps that took %.1f s: %s\n", r, t - k, t - s, said
	exit b - k > 1
}' || fail "killed at $killed, and the ps of $before does not tell"
nsnet down oom
rm /root/oom.yaml
