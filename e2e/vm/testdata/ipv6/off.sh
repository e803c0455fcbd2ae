# A host that was booted with IPv6 turned off for all interfaces: labs have it, and the host has it on its leg.
[ "$(cat /proc/sys/net/ipv6/conf/default/disable_ipv6)" = 1 ]
cat >/root/off.yaml <<'EOF'
name: off
nodes: {a: {}, b: {sysctls: {net.ipv6.conf.all.disable_ipv6: 1}}}
bridges: {lan0: {address: [10.6.0.1/24, "fd00:6::1/64"], nat: true}}
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
EOF
nsnet up /root/off.yaml
nsnet exec off/a -- ping -c 1 -W 10 fd00:6::1
nsnet exec off/a -- ping -c 1 -W 10 10.6.0.1
nsnet exec off/a -- ping -c 1 -W 10 ::1
ping -c 1 -W 10 fd00:6::2
has "$(nsnet exec off/a -- /usr/bin/ip -6 -o address show dev eth0)" 'fe80::'
[ -z "$(nsnet exec off/b -- /usr/bin/ip -6 -o address)" ]
has "$(nsnet plan /root/off.yaml)" 'nothing to do'
# Somebody turns it off on the leg.
leg=$(ls -d /sys/class/net/ns* | sed 's,.*/,,')
echo 1 >/proc/sys/net/ipv6/conf/$leg/disable_ipv6
nsnet up /root/off.yaml
nsnet exec off/a -- ping -c 1 -W 10 fd00:6::1
nsnet down off
nothing_left
has "$(nsnet doctor --all)" 'ipv6: there; turned off for new interfaces of the host'
rm /root/off.yaml
