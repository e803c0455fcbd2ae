# Limits of a running node on control groups of version 2, one that has a group and one that has none.
cat >/root/update.yaml <<'EOT'
name: update
nodes:
  eater: {command: "x=$(head -c 33554432 /dev/zero | tr '\\0' x); echo full; sleep 600; echo ${#x}", limits: {memory: 200MiB}}
  free: {}
EOT
nsnet up /root/update.yaml
full() { nsnet logs update/eater | grep -q full; }
eventually full
nsnet update eater --memory 100MiB
has "$(nsnet ps update)" 'eater +running'
nsnet update eater --memory 10MiB
killed() { nsnet ps update | grep -q 'eater *exited(137,oom)'; }
eventually killed
has "$(nsnet inspect update/eater)" 'limits +memory 10 MiB'
nsnet exec update/eater -- true

many='for i in $(seq 30); do sleep 1 & done; echo all'
said=$(nsnet update free --pids 20 --memory 64MiB --cpu 0.5 --cpu-weight 50)
has "$said" 'update/free is limited to cpu 0.5, cpu weight 50, memory 64 MiB, pids 20'
said=$(nsnet exec update/free -- sh -c "$many" 2>&1 || :)
has "$said" "can't fork"
group=/sys/fs/cgroup/nsnet/update/free
[ "$(cat $group/cpu.max)" = "50000 100000" ]
nsnet update free --pids none --memory none --cpu none --cpu-weight none
[ "$(nsnet exec update/free -- sh -c "$many")" = all ]
[ "$(cat $group/memory.max $group/cpu.max $group/cpu.weight | tr '\n' ' ')" = "max max 100000 100 " ]

# The file is what counts in the end.
has "$(nsnet up /root/update.yaml)" 'limits +eater +memory 10 MiB -> 200 MiB'
has "$(nsnet up /root/update.yaml)" 'nothing to do'
nsnet down update
nothing_left
rm /root/update.yaml
