# Unions: layers of the root, both experiments at a path, what is kept over down and up, diff and commit; the contract of drivers.
mkdir -p /srv/l/fruits /srv/l/vegetables
echo apple >/srv/l/fruits/apple
echo fruit >/srv/l/fruits/tomato
echo carrot >/srv/l/vegetables/carrots
echo vegetable >/srv/l/vegetables/tomato
mkdir -p /usr/share/d && echo x >/usr/share/d/x
cat >/srv/l/lab.yaml <<'EOL'
name: layers
nodes:
  root: {layers: [./fruits, ./vegetables]}
  n:
    persist: true
    unions: [{path: /mnt/u, layers: [./fruits, ./vegetables]}]
  rw: {unions: [{path: /mnt/u, layers: ["./fruits:rw", "./vegetables:rw"]}]}
EOL
# The classic one: the first layer alone is written, and the owners are the node's.
cat >/srv/l/classic.yaml <<'EOL'
name: classic
nodes: {c: {unions: [{path: /mnt/u, layers: ["./fruits:rw", "./vegetables"]}]}}
EOL
nsnet up --trust /srv/l/classic.yaml
said=$(nsnet exec classic/c -- sh -euc 'cd /mnt/u; cat tomato; echo mine >carrots; chown 7:8 carrots; echo mine >root; mkdir d; mv d e; rm tomato; ls')
[ "$said" = "fruit
apple
carrots
e
root" ] || fail "$said"
[ "$(stat -c '%n %F %u:%g' /srv/l/fruits/*)" = "/srv/l/fruits/apple regular file 0:0
/srv/l/fruits/carrots regular file 7:8
/srv/l/fruits/e directory 0:0
/srv/l/fruits/root regular file 0:0
/srv/l/fruits/tomato character special file 0:0" ]
[ "$(cat /srv/l/vegetables/*)" = "carrot
vegetable" ]
[ -d /srv/l/.fruits.nsnet ]
sed s/classic/second/ /srv/l/classic.yaml >/srv/l/second.yaml
refused 5 nsnet up --trust /srv/l/second.yaml
nsnet down classic
[ ! -e /srv/l/.fruits.nsnet ]
rm -r /srv/l/fruits/[cert]* /srv/l/classic.yaml /srv/l/second.yaml
echo fruit >/srv/l/fruits/tomato

nsnet up --trust /srv/l/lab.yaml
in_n() { nsnet exec "layers/$1" -- sh -euc "$2"; }
said=$(in_n root 'cat /tomato; echo mine >/carrots; rm -r /usr/share/d; mkdir /usr/share/d; ls -A /usr/share/d; ls -d /etc/passwd')
[ "$said" = "fruit
/etc/passwd" ] || fail "$said"
said=$(in_n n 'cd /mnt/u; cat tomato; echo mine >carrots; rm apple; mkdir d; chown 7:8 d; rm -r /usr/share/d; echo k >/root/k; chown 1000:33 /root/k; ls')
[ "$said" = "fruit
carrots
d
tomato" ] || fail "$said"
[ "$(cat /srv/l/vegetables/carrots)" = carrot ] && [ ! -e /srv/l/fruits/carrots ] && [ -e /usr/share/d/x ]

has "$(nsnet diff layers/root)" '^C /carrots$'
has "$(nsnet diff layers/n)" '^D /usr/share/d$'
has "$(nsnet diff layers/n)" '^D /mnt/u/apple$'
nsnet commit layers/root /srv/l/saved

in_n rw 'cd /mnt/u; echo mine >carrots; echo mine >tomato; echo new >new; chown 7:8 new; [ "$(stat -c %u:%g new)" = 7:8 ]; rm new'
[ "$(cat /srv/l/vegetables/carrots /srv/l/fruits/tomato /srv/l/vegetables/tomato)" = "mine
mine
vegetable" ]
# Whoever serves that sees its layers and what it takes to run.
has "$(ls "/proc/$(pidof mergerfs)/root" | tr '\n' ' ')" '^b0 b1 bin dev empty (etc )?lib lib64 union $'
nsnet down layers

# Other ids, the same files; and what was saved, in another node.
sed -i 's|^nodes:|nodes:\n  first: {layers: [./saved]}|' /srv/l/lab.yaml
nsnet up --trust /srv/l/lab.yaml
[ "$(in_n n 'stat -c %u:%g /root/k; cat /mnt/u/carrots; ls -d /usr/share/d 2>/dev/null || echo gone')" = "1000:33
mine
gone" ]
[ "$(in_n first 'cat /carrots; ls -A /usr/share/d')" = mine ]
nsnet down layers --purge
[ ! -e /var/lib/nsnet/nodes ]
rm -r /srv/l /usr/share/d

# Layers that are part of what they lie on.
mkdir -p /srv/l/fruits /srv/l/root/opt
echo fruit >/srv/l/fruits/tomato
mkdir -p /srv/l/root/bin /srv/l/root/etc
cp /usr/bin/busybox /srv/l/root/bin/busybox
for applet in sh cat rm ls; do ln -s busybox /srv/l/root/bin/$applet; done
echo inside >/srv/l/root/opt/inside
cat >/srv/l/lab.yaml <<'EOL'
name: layers
nodes:
  priv: {privileged: true, layers: [./fruits]}
  dir: {image: "dir:./root", layers: [./root/opt, ./fruits]}
EOL
nsnet up --trust /srv/l/lab.yaml
[ "$(in_n priv 'cat /tomato; rm -r /tomato; ls /tomato 2>/dev/null || echo gone')" = "fruit
gone" ]
[ "$(in_n dir 'cat /tomato /inside /opt/inside; rm -r /opt; ls /opt 2>/dev/null || echo gone')" = "fruit
inside
inside
gone" ]
nsnet down layers
[ -e /srv/l/root/opt/inside ]
rm -r /srv/l

/usr/bin/lab.test -test.run '^TestUnion' -test.count 1
