# Limits on control groups of version 2, which do not exist on machines that still have version 1.
cat >/root/limits.yaml <<'EOF'
name: limits
nodes:
  small:
    command: [tail, /dev/zero]
    limits: {memory: 10MiB}
  few:
    limits: {pids: 20}
  slow:
    limits: {cpu: 0.2, cpu_weight: 50}
  free: {}
EOF
nsnet up /root/limits.yaml
group=/sys/fs/cgroup/nsnet/limits
[ "$(cat $group/small/memory.max)" = 10485760 ]
[ "$(cat $group/few/pids.max)" = 20 ]
[ "$(cat $group/slow/cpu.max)" = "20000 100000" ]
[ ! -e $group/free ] || fail "a node without limits has a group"

# What wants more memory is killed, and nsnet says why.
killed() { nsnet ps limits | grep -q 'small *exited(137,oom)'; }
eventually killed
said=$(nsnet inspect limits/small)
has "$said" 'reason +out of memory: limit 10 MiB'
# The node is still there, and so is its network.
nsnet exec limits/small -- true

# One process too many is refused, in this node alone. Threads count, those of the node's init as well.
many='for i in $(seq 30); do sleep 1 & done; echo all'
said=$(nsnet exec limits/few -- sh -c "$many" 2>&1 || :)
has "$said" "can't fork"
! echo "$said" | grep -q all || fail "thirty processes where twenty are allowed"
[ "$(nsnet exec limits/free -- sh -c "$many")" = all ]
[ "$(sed -n 's/^max //p' $group/few/pids.events)" -gt 0 ]

# Throttled: the kernel counts the periods in which it was not let run.
nsnet exec limits/slow -- timeout 1 sh -c 'while :; do :; done' || :
throttled=$(sed -n 's/^nr_throttled //p' $group/slow/cpu.stat)
[ "$throttled" -gt 0 ]

# A node sees its own group as the root.
said=$(nsnet exec limits/slow -- cat /proc/self/cgroup)
has "$said" '^0::/$'

nsnet down limits
nothing_left
rm /root/limits.yaml
