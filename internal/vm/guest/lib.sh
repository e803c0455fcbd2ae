# What every script may use. Scripts run by sh -eux: a command that fails ends them.

# This sh takes busybox's own ip before any in PATH; bridges and VLANs need the real one.
ip() { /usr/bin/ip "$@"; }

# fail says what is wrong and ends the script.
fail() {
	echo "FAIL: $*"
	exit 1
}

# refused CODE COMMAND...: the command ends with this exit code. What it printed is in $said.
refused() {
	want=$1
	shift
	code=0
	said=$("$@" 2>&1) || code=$?
	[ "$code" = "$want" ] || fail "$*: exit code $code, not $want: $said"
}

# has TEXT PATTERN: the text has a line that matches.
has() {
	echo "$1" | grep -qE -e "$2" || fail "not in this: $2
$1"
}

# eventually COMMAND...: it succeeds within half a minute.
eventually() {
	{
		case $- in *x*) traced=yes ;; *) traced= ;; esac
		set +x
	} 2>/dev/null
	n=0
	until "$@" >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt 150 ] || fail "not within 30 s: $*"
		sleep 0.2
	done
	[ -z "$traced" ] || set -x
}

# snapshot prints what nsnet may leave behind.
snapshot() {
	ip -o link | sed 's/^[0-9]*: //'
	ip -o addr | sed 's/^[0-9]*: //; s/valid_lft.*//'
	ip rule
	cut -d ' ' -f 2-3 /proc/mounts
	find /sys/fs/cgroup -type d
	for d in /run/nsnet /run/nsnet/.attach /run/netns /etc/netns; do
		[ ! -d "$d" ] || find "$d" -mindepth 1 ! -name '.*' ! -path '/run/nsnet/.*'
		[ "$d" != /run/nsnet/.attach ] || [ ! -d "$d" ] || find "$d" -mindepth 1 ! -name '*lock*'
	done
	cat /proc/sys/net/ipv4/ip_forward
	cat /proc/sys/net/ipv6/conf/all/forwarding 2>/dev/null || :
	processes
}

# processes prints the command lines of all programs, but for this script's own.
processes() {
	grep -a . /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | sed 's/^[^:]*://' |
		grep -vE '^(sh -euc |/bin/sh /vm/main|grep -a |tr |sed |grep -vE )' || :
}

# pid_of NAME...: the process of exactly this command line.
pid_of() {
	found=$(grep -a . /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | sed -n "s#^/proc/\\([0-9]*\\)/cmdline:$* \$#\\1#p")
	[ -n "$found" ] || fail "no process $*: $(processes)"
	echo "$found"
}

snapshot >/tmp/before

# nothing_left: all is as it was when the script began.
nothing_left() {
	{ set +x; } 2>/dev/null
	snapshot >/tmp/after
	diff /tmp/before /tmp/after || fail "left behind, see above"
	set -x
}

# finish is called after each script.
finish() {
	{ set +x; } 2>/dev/null
	n=0
	until snapshot >/tmp/after && cmp -s /tmp/before /tmp/after; do
		n=$((n + 1))
		[ $n -lt 20 ] || nothing_left
		sleep 0.1
	done
}

# complaints prints what the kernel has said against itself, and fails where that is nothing.
complaints() { dmesg | grep -E 'BUG:|WARNING:|Oops|unregister_netdevice: waiting'; }

# power_cut resets the machine, and what it had not written to its disk is lost. For the last script of a machine with Cut.
power_cut() {
	! complaints || fail "the kernel complained"
	echo b >/proc/sysrq-trigger
}
