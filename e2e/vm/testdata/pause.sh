# The freezer and the counters of control groups of version 2.
cat >/root/pause.yaml <<'EOT'
name: pause
nodes:
  free: {command: "while :; do echo x; sleep 0.02; done"}
  limited: {command: "while :; do :; done", limits: {cpu: 0.2, memory: 64MiB, pids: 20}}
EOT
nsnet up /root/pause.yaml
group=/sys/fs/cgroup/nsnet/pause
size() { wc -c </run/nsnet/pause/free.log; }
grown() { [ "$(size)" -gt "$before" ]; }

# A node without limits gets its group now; one with limits has it.
[ ! -e $group/free ]
before=$(size)
eventually grown
nsnet pause pause/free
nsnet pause pause/free
before=$(size)
sleep 1
! grown || fail "a paused node goes on"
grep -q 'frozen 1' $group/free/cgroup.events
has "$(nsnet ps pause)" 'free +paused'
said=$(nsnet exec pause/free -- true 2>&1) && fail "a command runs in a paused node"
has "$said" 'nsnet resume pause/free'
nsnet resume pause
eventually grown
nsnet exec pause/free -- true

# stats counts by the group where there is one.
said=$(nsnet stats pause --no-stream)
has "$said" 'limited +0\.[0-2][0-9] +[0-9]+ % .* 64 MiB +[0-9]+/20 '
said=$(nsnet stats pause --no-stream --prometheus /root/pause.prom && cat /root/pause.prom)
has "$said" 'nsnet_node_memory_limit_bytes\{lab="pause",node="limited"\} 67108864'
rm /root/pause.prom

nsnet pause pause
nsnet down pause
nothing_left
rm /root/pause.yaml
