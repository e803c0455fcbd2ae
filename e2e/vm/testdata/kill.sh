# A killed lab init leaves nothing that the next command does not remove, and no process or link at all.
cat >/root/dead.yaml <<'EOF'
name: dead
nodes:
  a: {command: [sleep, "1000"], limits: {memory: 64MiB}}
  b: {}
bridges:
  lan0: {address: 10.78.0.1/24, nat: true}
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
EOF
nsnet up /root/dead.yaml
kill -9 "$(pid_of nsnet: lab dead)"
alone() {
	! processes | grep -qE '^(nsnet: |sleep 1000)' && ! ip -o link | grep -q ': ns' &&
		! grep -q nsnet /proc/mounts
}
eventually alone
nsnet ps
nothing_left

# Killed halfway: whatever the moment, what comes next finds a clean host.
for delay in 0.02 0.1 0.2 0.3; do
	nsnet up /root/dead.yaml >/dev/null 2>&1 &
	up=$!
	sleep $delay
	kill -9 $up 2>/dev/null || :
	wait $up 2>/dev/null || :
	nsnet up /root/dead.yaml
	nsnet exec dead/a -- ping -c 1 -W 10 b
	nsnet down dead
	nothing_left
done
rm /root/dead.yaml
