# Container images on this kernel: layers with whiteouts, opaque directories, owners and setuid bits, from an archive.
work=$(mktemp -d)
cd "$work"
mkdir -p one/bin one/etc one/home one/d two/d two/e
cp /usr/bin/busybox one/bin/busybox
for applet in sh ls cat rm mkdir stat touch id chown ping; do ln -s busybox one/bin/$applet; done
echo root:x:0:0::/:/bin/sh >one/etc/passwd
echo user:x:1000:1000::/home:/bin/sh >>one/etc/passwd
echo low >one/d/low
echo gone >one/gone
echo mine >one/home/mine
chown 1000:1000 one/home/mine
chmod 600 one/home/mine
mkdir one/su
cp one/bin/busybox one/su/ping
chmod 4755 one/su/ping
: >two/.wh.gone
: >two/d/.wh..wh..opq
echo high >two/d/high
: >two/e/.wh..wh..opq
tar -C one -cf one.tar .
tar -C two -cf two.tar .
digest() { sha256sum "$1" | cut -d ' ' -f 1; }
printf '{"os":"linux","architecture":"amd64","config":{"User":"user","WorkingDir":"/home","Env":["A=1"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
	"$(digest one.tar)" "$(digest two.tar)" >config.json
echo '[{"Config":"config.json","RepoTags":["local/box:1"],"Layers":["one.tar","two.tar"]}]' >manifest.json
tar -cf box.tar manifest.json config.json one.tar two.tar

nsnet image import box.tar local/box:1
cat >box.yaml <<'EOT'
name: box
defaults: {image: "local/box:1"}
nodes:
  a: {}
  b: {nnp: false}
links:
  - {endpoints: ["a:eth0", "b:eth0"], addresses: [10.0.0.1/24, 10.0.0.2/24]}
EOT
nsnet up --trust box.yaml
in_a() { nsnet exec --user root box/a -- sh -euc "$1"; }
in_a 'ping -c 1 -W 10 10.0.0.2'
in_a '[ ! -e /gone ]'
[ "$(in_a 'ls /d')" = high ]
[ "$(nsnet exec box/a -- sh -c 'echo $(id -u) $(pwd) $A $(cat mine)')" = "1000 /home 1 mine" ]
[ "$(in_a 'stat -c %u:%g /home/mine /bin/busybox')" = "1000:1000
0:0" ]
# What a node changes is its own.
in_a 'rm -r /d /home; mkdir /d /gone; [ -z "$(ls /d)" ]; touch /gone/x; chown 5:6 /etc/passwd; [ "$(stat -c %u:%g /etc/passwd)" = 5:6 ]'
[ "$(nsnet exec box/b -- cat mine /d/high)" = "mine
high" ]
# A setuid program is the node's root's, where nnp: false lets it be: to ping takes a raw socket.
nsnet exec box/b -- /su/ping -c 1 -W 10 10.0.0.1
refused 1 nsnet exec box/b -- /bin/ping -c 1 -W 10 10.0.0.1
refused 5 nsnet image rm local/box:1
nsnet down box
nothing_left
nsnet image rm local/box:1
[ -z "$(ls /var/lib/nsnet/images/layers)" ]
cd /root
rm -r "$work" /var/lib/nsnet
