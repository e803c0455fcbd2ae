# Root filesystems: what nodes do with directories of the image, images of their own, privileged nodes.
mkdir -p /usr/share/d/e /usr/share/f /srv/image
echo x >/usr/share/d/x
cp -a /usr /srv/image/usr
ln -s usr/bin /srv/image/bin
ln -s usr/lib /srv/image/lib
ln -s usr/lib64 /srv/image/lib64
mkdir /srv/image/etc
echo image >/srv/image/etc/issue
chown 7:8 /srv/image/etc/issue
cat >/root/images.yaml <<'EOF'
name: images
nodes:
  a:
    tun: true
    dns: {nameservers: [192.0.2.53]}
  d: {image: "dir:/srv/image"}
EOF
nsnet up --trust /root/images.yaml

# Directories of the image can be removed, made anew, and be something else.
in_a() { nsnet exec images/a -- sh -euc "$1"; }
in_a 'rm -r /usr/share/d; mkdir /usr/share/d; [ -z "$(ls -A /usr/share/d)" ]'
in_a 'rm -r /usr/share/d; ln -s /etc /usr/share/d; [ -e /usr/share/d/passwd ]'
in_a 'mv /usr/share/f /usr/share/g; [ ! -e /usr/share/f ]; rm -r /var/log; mkdir /var/log; rm -r /var/log'
[ -e /usr/share/d/x ] && [ -d /usr/share/f ] && [ -d /var/log ] && [ ! -e /usr/share/g ]

# The node's own files, and a device on request.
has "$(in_a 'cat /etc/resolv.conf')" '^nameserver 192.0.2.53$'
has "$(in_a 'cat /etc/hosts')" '^127.0.0.1[[:space:]]+localhost'
in_a '[ -c /dev/net/tun ]; [ "$(stat -c %u:%g:%a /etc/hostname)" = 0:0:644 ]'
said=$(nsnet exec images/d -- sh -c '[ ! -e /dev/net/tun ] && stat -c %u:%g /etc/issue && chown 9:9 /etc/issue && stat -c %u:%g /etc/issue && cat /etc/issue')
[ "$said" = "7:8
9:9
image" ]
[ "$(stat -c %u:%g /srv/image/etc/issue)" = 7:8 ]
# A device of an image is none in a node.
refused 1 nsnet exec images/a -- mknod /dev/mem0 c 1 1
mknod /srv/image/mem c 1 1
chmod 666 /srv/image/mem
refused 1 nsnet exec images/d -- dd if=/mem of=/dev/null bs=1 count=1
nsnet down images
nothing_left

# A privileged node is the host's root, on a copy of the host's files.
printf 'name: images\nnodes: {p: {privileged: true}, a: {}}\n' >/root/images.yaml
nsnet up --trust /root/images.yaml
[ "$(nsnet exec images/p -- cat /etc/shadow)" != "$(cat /etc/shadow)" ]
nsnet exec images/p -- sh -euc 'rm -r /usr/share/d; mkdir /usr/share/d; mount -t tmpfs x /mnt; touch /mnt/y'
[ -e /usr/share/d/x ] && [ ! -e /mnt/y ]
nsnet exec images/a -- sh -euc 'rm -r /usr/share/d; mkdir /usr/share/d'
refused 1 nsnet exec images/a -- mount -t tmpfs x /mnt
nsnet down images
rm -r /root/images.yaml /srv/image /usr/share/d /usr/share/f
