# A running lab becomes what its file says: nodes and links that are added are there, by name, in nodes that stay.
cat >/root/changes.yaml <<'EOT'
name: changes
nodes:
  a: {}
  b: {hosts: ["192.0.2.1 outside"]}
bridges:
  lan0: {subnet: 10.79.0.0/24}
links:
  - endpoints: ["a:eth0", "lan0"]
  - endpoints: ["b:eth0", "lan0"]
EOT
nsnet up /root/changes.yaml
init=$(nsnet inspect changes/a --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p' | head -n 1)
sed -e 's/^bridges:/  c: {}\nbridges:/' /root/changes.yaml >/root/more.yaml
echo '  - endpoints: ["c:eth0", "lan0"]' >>/root/more.yaml
nsnet up --replace /root/more.yaml
for n in a b; do
	nsnet exec changes/$n -- ping -c 1 -W 10 c
done
nsnet exec changes/b -- grep outside /etc/hosts
[ "$(nsnet inspect changes/a --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p' | head -n 1)" = "$init" ]
nsnet plan --replace /root/more.yaml
ip -n changes.a link del eth0
nsnet up --replace /root/more.yaml
nsnet exec changes/a -- ping -c 1 -W 10 c
nsnet up --replace /root/changes.yaml
! nsnet exec changes/a -- ping -c 1 -W 1 c
nsnet plan /root/changes.yaml
nsnet down changes
nothing_left
rm /root/changes.yaml /root/more.yaml
