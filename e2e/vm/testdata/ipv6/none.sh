# A kernel without IPv6: what needs it is refused, by name and before anything is changed, and all else works.
[ ! -e /proc/sys/net/ipv6 ]
cat >/root/none.yaml <<'EOF'
name: none
nodes: {a: {}, b: {}}
bridges: {lan0: {address: 10.6.0.1/24, nat: true}}
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
EOF
sed 's,10.6.0.1/24,[10.6.0.1/24\, "fd00:6::1/64"],' /root/none.yaml >/root/six.yaml
refused 7 nsnet up /root/six.yaml
has "$said" 'bridge lan0: not supported by this kernel: it has no IPv6, which is needed for the address fd00:6::1/64; boot without ipv6.disable=1'
nothing_left
has "$(nsnet doctor)" 'ipv6: this kernel has no IPv6'
nsnet up /root/none.yaml
nsnet exec none/a -- ping -c 1 -W 10 b
nsnet exec none/a -- ping -c 1 -W 10 10.6.0.1
has "$(nsnet plan /root/none.yaml)" 'nothing to do'
refused 7 nsnet up --replace --name none /root/six.yaml
refused 7 nsnet plan --replace /root/six.yaml
nsnet exec none/a -- ping -c 1 -W 10 b

unshare -n sleep 1000 &
one=$!
eventually sh -c "[ \$(readlink /proc/$one/ns/net) != \$(readlink /proc/1/ns/net) ]"
refused 7 nsnet attach --pid $one --bridge none/lan0 --ip fd00:6::9/64
has "$said" 'no IPv6'
nsnet attach --pid $one --bridge none/lan0 --ip auto
nsenter -t $one -n ping -c 1 -W 10 10.6.0.1
nsnet detach --pid $one --all
kill $one
nsnet down none
nothing_left
rm /root/none.yaml /root/six.yaml
