# Sysctls of a node's IPC namespace, on kernels whose user namespaces may not set them (before 6.9), too: bounds, and what the file says.
cat >/root/ipc.yaml <<'END'
name: ipc
nodes:
  plain: {}
  limited: {limits: {memory: 16MiB}}
  own: {sysctls: {kernel.shmmax: 65536, kernel.shmall: 77, fs.mqueue.msg_max: 5}}
END
nsnet up /root/ipc.yaml
all=$(awk '/MemTotal/ { print $2 }' /proc/meminfo)
pages=$(nsnet exec ipc/plain -- cat /proc/sys/kernel/shmall)
[ "$pages" -gt 1 ] && [ "$pages" -le $((all / 16)) ] || fail "$pages pages of shared memory"
[ "$(nsnet exec ipc/limited -- cat /proc/sys/kernel/shmall)" = 4096 ]
[ "$(nsnet exec ipc/limited -- cat /proc/sys/kernel/msgmni)" = 16 ]
[ "$(nsnet exec ipc/own -- sh -c 'cd /proc/sys; cat kernel/shmmax kernel/shmall fs/mqueue/msg_max | tr "\n" " "')" = "65536 77 5 " ]
for key in kernel/shmall kernel/msgmax kernel/pid_max fs/mqueue/queues_max; do
	said=$(nsnet exec ipc/plain -- sh -c "echo 9 >/proc/sys/$key" 2>&1) && fail "$key can be set"
	has "$said" 'Read-only file system'
done
nsnet exec ipc/plain -- sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
[ "$(cat /proc/sys/kernel/shmall)" != "$pages" ] || fail "the host's bound is the node's"
# A value that the kernel does not take is told.
printf '%s\n' 'name: bad' 'nodes: {n: {sysctls: {kernel.shmmni: wat}}}' >/root/bad.yaml
said=$(nsnet up /root/bad.yaml 2>&1) && fail "wat is taken"
has "$said" 'node n: .*set sysctl kernel.shmmni: .*invalid argument; give it a value that the kernel takes'
nsnet down ipc
nothing_left
rm /root/ipc.yaml /root/bad.yaml
