# For the scripts that cut the power: an image, /usr/share/box.tar, and a lab whose nodes keep what they write.
cat >/root/box.yaml <<'EOT'
name: box
nodes: {a: {image: "local/box:1", persist: true}, b: {image: "local/box:1"}}
links:
  - {endpoints: ["a:eth0", "b:eth0"], addresses: [10.0.0.1/24, 10.0.0.2/24]}
EOT
mkdir -p /var/lib/nsnet

both() {
	nsnet image import /usr/share/box.tar local/box:1 && nsnet up /root/box.yaml
}

# disk_acts TRACE: the acts on the disk. What is in /run is gone with the power anyway.
disk_acts() {
	grep -E 'unpack|/var/lib/nsnet|kept|describe|sync|rename|write|clone lab init|symlink|send message (100|108)' "$1" | sort -u
}

# whole ACT: after a power cut at this act all can be read, and the same commands succeed.
whole() {
	nsnet gc >/tmp/said 2>&1 || fail "gc after a power cut at $1: $(cat /tmp/said)"
	for command in 'image ls' ps; do
		nsnet $command --json >/tmp/said 2>&1 || fail "$command after a power cut at $1: $(cat /tmp/said)"
	done
	both >/tmp/said 2>&1 || fail "up after a power cut at $1: $(cat /tmp/said)"
	[ "$(nsnet exec box/a -- cat /d/1 /d/6)" = "content1
content6" ] || fail "the image is another one after a power cut at $1"
	nsnet exec box/a -- sh -c 'echo kept >/kept'
	nsnet down --purge box >/tmp/said 2>&1 || fail "down after a power cut at $1: $(cat /tmp/said)"
}
