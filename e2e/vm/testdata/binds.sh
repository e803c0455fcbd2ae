# Bound files that are replaced on the host: bound anew in a node that runs, which sees the old one or the new one.
mkdir -p /srv/b/d/below
echo one >/srv/b/conf
echo d1 >/srv/b/d/f
mount -t tmpfs none /srv/b/d/below
echo below >/srv/b/d/below/f
cat >/srv/b/lab.yaml <<'EOB'
name: binds
nodes:
  a:
    binds: ["./conf:/etc/my.conf", "./d:/srv/d", "./conf:/srv/rw:rw"]
    command: |
      exec >/tmp/seen; echo begin
      while [ ! -e /tmp/stop ]; do [ -s /etc/my.conf ] || echo nothing; done
      echo end
EOB
nsnet up /srv/b/lab.yaml
in_a() { nsnet exec binds/a -- sh -euc "$1"; }
for i in 1 2 3 4 5; do
	echo "text $i" >/srv/b/new
	mv /srv/b/new /srv/b/conf
	refused 10 nsnet plan /srv/b/lab.yaml
	nsnet up /srv/b/lab.yaml
	nsnet plan /srv/b/lab.yaml
	[ "$(in_a 'cat /etc/my.conf /srv/rw')" = "text $i
text $i" ]
done
umount /srv/b/d/below
mv /srv/b/d /srv/b/old
mkdir /srv/b/d
echo d2 >/srv/b/d/f
nsnet up /srv/b/lab.yaml
[ "$(in_a 'cat /srv/d/f; touch /tmp/stop; until grep -q end /tmp/seen; do sleep 0.1; done; grep -c my.conf /proc/mounts')" = "d2
1" ]
case $(uname -r) in # before 6.5 there is a moment without
6.1.*) ;;
*) [ "$(in_a 'cat /tmp/seen')" = "begin
end" ] ;;
esac
nsnet down binds
rm -r /srv/b
