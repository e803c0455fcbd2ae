# A node is not ended for one that cannot be made, on kernels whose nodes' roots the host's root makes, too, and of nodes that keep what they write.
mkdir -p /root/tries/lower /root/tries/w
echo x >/root/tries/file
cat >/root/tries/lab.yaml <<'EOF'
name: tries
nodes:
  keeps: {persist: true, unions: [{path: /u, layers: [./lower]}], command: COMMAND}
  writes: {unions: [{path: /u, layers: ["./w:rw", ./lower]}], command: COMMAND}
EOF
with() { sed -e "s|COMMAND|$1|" /root/tries/lab.yaml >/root/tries/now.yaml; }
pids() { nsnet ps tries --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p' | tr '\n' ' '; }
with '[sleep, infinity]'
nsnet up --trust /root/tries/now.yaml
before=$(pids)
for n in keeps writes; do
	nsnet exec tries/$n -- sh -c "printf '#!/bin/sh\nexec sleep infinity\n' >/u/tool; chmod +x /u/tool"
done
nsnet exec tries/keeps -- sh -c 'cp /u/tool /tool'
for k in '127 [/none], hostname: other' '1 [sleep, infinity], tmpfs: [/etc/passwd]'; do
	with "${k#* }"
	refused "${k%% *}" nsnet up --trust /root/tries/now.yaml
	[ "$(pids)" = "$before" ]
done
with '[/u/tool], hostname: other'
nsnet up --trust /root/tries/now.yaml
sed -i -e '/writes/d' /root/tries/lab.yaml
with '[/tool], hostname: again'
nsnet up --trust /root/tries/now.yaml
nsnet exec tries/keeps -- grep infinity /u/tool
nsnet ps tries | grep running
nsnet down --purge tries
nothing_left
rm -r /root/tries
