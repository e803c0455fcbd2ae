# A small lab: up, exec, pings in both families, files, names, down.
cat >/root/small.yaml <<'EOF'
name: small
nodes:
  a: {}
  b:
    command: [sleep, infinity]
  r:
    sysctls: {net.ipv4.ip_forward: 1}
bridges:
  lan0:
    address: [10.77.0.1/24, "fd00:77::1/64"]
    nat: true
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
  - endpoints: ["a:ptp0", "r:ptp0"]
    addresses: [10.1.1.1/32, 10.1.1.2/32]
EOF
nsnet up /root/small.yaml
nsnet ps small
nsnet exec small/a -- ping -c 1 -W 10 10.77.0.3
nsnet exec small/a -- ping -c 1 -W 10 fd00:77::3
nsnet exec small/b -- ping -c 1 -W 10 a
nsnet exec small/a -- ping -c 1 -W 10 10.1.1.2
ping -c 1 -W 10 10.77.0.2
ping -6 -c 1 -W 10 fd00:77::2
nsnet exec small/b -- ping -c 1 -W 10 10.77.0.1

# Root inside owns what root owns outside, and may change it without the host's noticing.
echo ours >/etc/ours
[ "$(nsnet exec small/a -- stat -c %u /etc/ours)" = 0 ]
nsnet exec small/a -- sh -c 'echo mine >>/etc/ours && chown 3:4 /etc/ours'
[ "$(nsnet exec small/a -- stat -c %u:%g /etc/ours)" = 3:4 ]
[ "$(cat /etc/ours)" = ours ]
[ "$(stat -c %u /etc/ours)" = 0 ]
nsnet exec small/a -- sh -c 'rm -r /etc/ours && mkdir /etc/x /x && touch /usr/bin/new'
[ -e /etc/ours ] && [ ! -e /usr/bin/new ]
rm /etc/ours

# What the host closes is closed, and shadow is one without passwords.
echo closed >/root/closed
said=$(nsnet exec small/a -- cat /etc/shadow)
has "$said" '^root:\*:'
[ -z "$(nsnet exec small/a -- ls -A /root)" ]
refused 1 nsnet exec small/a -- cat /root/closed
echo late >/etc/late && chmod 600 /etc/late
refused 1 nsnet exec small/a -- cat /etc/late
rm /etc/late /root/closed

# Fresh directories, devices, and the kernel's file systems.
touch /tmp/of-the-host
[ -z "$(nsnet exec small/a -- ls -A /tmp)" ]
rm /tmp/of-the-host
nsnet exec small/a -- sh -c 'touch /tmp/x /run/x /root/x /var/log/x && echo x >/dev/null && [ -c /dev/null ] && [ -d /proc/self ] && [ -d /sys/class/net/eth0 ]'
said=$(nsnet exec small/a -- ls /dev)
has "$said" '^null$'
! echo "$said" | grep -q ram0 || fail "the host's devices: $said"
nsnet exec small/b -- sh -c 'ls / && ls -la /etc' >/dev/null
[ "$(nsnet exec small/b -- cat /etc/hostname)" = b ]

nsnet down small
nothing_left
rm /root/small.yaml
