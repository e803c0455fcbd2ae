# Nodes that take all they are given of what the kernel counts for users, on kernels that count in ways of their own.
cat >/root/starve.yaml <<'END'
name: starve
defaults: {binds: ["/usr/bin/hog:/hog"], caps: [SYS_ADMIN]}
nodes: {a: {}, b: {}}
END
cat >/root/other.yaml <<'END'
name: other
defaults: {binds: ["/usr/bin/hog:/hog"]}
nodes: {c: {}}
END
nsnet up --trust /root/starve.yaml
nsnet up --trust /root/other.yaml
mkfifo /root/in-a /root/in-b
exec 8<>/root/in-a 9<>/root/in-b
# take NODE KIND: has a node take all, and keep it until its input ends.
take() { nsnet exec -i starve/$1 -- /hog $2 </root/in-$1 >/root/taken-$1 8>&- 9>&- & }
bounded() { grep -q '[a-z]' /root/taken-$1; }
for kind in inotify fanotify mqueue signals timers; do
	take a $kind
	eventually bounded a
	! grep -q nil /root/taken-a || fail "$kind: nothing stops a node"
	nsnet exec starve/b -- /hog $kind 1 || fail "$kind: another node has none"
	take b $kind
	eventually bounded b
	hog $kind 1 || fail "$kind: the host's root has none"
	case $kind in fanotify) ;; *) nsnet exec other/c -- /hog $kind 1 || fail "$kind: another lab has none" ;; esac
	echo "$kind: $(cat /root/taken-a), $(cat /root/taken-b)"
	exec 8>&- 9>&-
	wait
	rm /root/taken-a /root/taken-b
	exec 8<>/root/in-a 9<>/root/in-b
done
nsnet down starve
nsnet down other
