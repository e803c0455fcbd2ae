package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// probe builds testdata/probe and returns a bind that shows it to nodes as /probe.
func probe(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("binds: [\"%s:/probe:ro\"]", testenv.Program(t, "./testdata/probe"))
}

// refused fails the test unless the probe's attempt was refused, and returns why it was.
func (r run) refused(node string, attempt ...string) string {
	r.t.Helper()
	res := r.exec(node, append([]string{"/probe"}, attempt...)...)
	if res.Code != 10 {
		r.t.Errorf("in %s: %v: exit code %d, not refused\n%s%s", node, attempt, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// allowed fails the test unless the probe's attempt succeeded: it is able to.
func (r run) allowed(node string, attempt ...string) {
	r.t.Helper()
	if res := r.exec(node, append([]string{"/probe"}, attempt...)...); res.Code != 0 {
		r.t.Errorf("in %s: %v: exit code %d\n%s%s", node, attempt, res.Code, res.Stdout, res.Stderr)
	}
}

// FAULTS section 4: what a process of a node has and has not.
func TestNodeProcess(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, "name: NAME\nnodes:\n  a: {command: [sleep, infinity]}\n  b: {}\n")
		mask, err := container.Capabilities(topology.Caps{}, false)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"CapInh": "0000000000000000", "CapPrm": fmt.Sprintf("%016x", mask), "CapEff": fmt.Sprintf("%016x", mask),
			"CapBnd": fmt.Sprintf("%016x", mask), "CapAmb": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2",
		}
		// The init of a node in which nothing has run yet is the copy of another process.
		idle := fmt.Sprintf("/proc/%d", r.node("b").PID)
		status, err := os.ReadFile(idle + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			if !strings.Contains(string(status), "\n"+key+":\t"+value+"\n") {
				t.Errorf("the init of an idle node: %s is not %s:\n%s", key, value, status)
			}
		}
		open, err := filepath.Glob(idle + "/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		var has []string
		for _, fd := range open {
			to, _ := os.Readlink(fd)
			to, _, _ = strings.Cut(to, ":")
			has = append(has, to)
		}
		// Its own socket, the program that it may become, and the node's root.
		if got := strings.Join(has, " "); got != "/devs/null /devs/null /devs/null socket / /" {
			t.Errorf("the init of an idle node has open %s", got)
		}
		base := r.node("a").UIDBase
		for _, look := range []struct{ what, pid string }{{"an exec", "self"}, {"the node's init", "1"}, {"the command", strconv.Itoa(r.node("a").CommandPID)}} {
			status := r.sh("a", "cat /proc/"+look.pid+"/status")
			for key, value := range want {
				if !strings.Contains("\n"+status, "\n"+key+":\t"+value+"\n") {
					t.Errorf("%s: %s is not %s:\n%s", look.what, key, value, status)
				}
			}
			for _, kind := range []string{"uid_map", "gid_map"} {
				ids := strings.Fields(r.sh("a", "cat /proc/"+look.pid+"/"+kind))
				if len(ids) != 3 || ids[0] != "0" || ids[2] != "65536" {
					t.Errorf("%s: %s is %v", look.what, kind, ids)
				}
			}
		}
		for _, name := range []string{"a", "b"} {
			n := r.node(name)
			ids, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", n.PID))
			if err != nil {
				t.Fatal(err)
			}
			if f := strings.Fields(string(ids)); len(f) != 3 || f[1] != fmt.Sprint(n.UIDBase) {
				t.Errorf("uid_map of node %s, as the host sees it: %v, not from %d on", name, f, n.UIDBase)
			}
		}
		if base < 100_000 || base == r.node("b").UIDBase {
			t.Errorf("root of a is uid %d, of b %d", base, r.node("b").UIDBase)
		}

		if got := r.sh("a", "ls /proc/self/fd | tr '\\n' ' '"); got != "0 1 2 3" { // 3 is the directory that ls reads
			t.Errorf("descriptors of an exec: %s", got)
		}
		if got := r.sh("a", "ls /proc/"+strconv.Itoa(r.node("a").CommandPID)+"/fd | tr '\\n' ' '"); strings.TrimSpace(got) != "0 1 2" {
			t.Errorf("descriptors of the command: %s", got)
		}
		if got := r.sh("a", "env"); strings.Contains(got, "NSNET") {
			t.Errorf("the environment of an exec tells of the caller's:\n%s", got)
		}

		devices := strings.Fields(r.sh("a", "for d in /dev/* /dev/*/*; do if [ -b $d ] || [ -c $d -a ! -L $d ]; then echo $d; fi; done"))
		if len(devices) < 6 || len(devices) > 8 {
			t.Errorf("device nodes: %v", devices)
		}
		err = filepath.WalkDir("/run/nsnet", func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if info, err := e.Info(); err == nil && info.Mode()&(os.ModeSetuid|os.ModeSetgid|0o077) != 0 {
				t.Errorf("%s of the record has mode %v", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(testenv.Binary(t)); err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			t.Errorf("nsnet itself: %v, %v", info.Mode(), err)
		}
		if got := testenv.MustCommand(t, "cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6", "/proc/net/raw"); strings.Count(got, "\n") != 5 {
			t.Errorf("sockets in the host's network namespace:\n%s", got)
		}
		if got := testenv.MustCommand(t, "cat", "/proc/net/unix"); strings.Contains(got, "@") {
			t.Errorf("abstract sockets in the host's network namespace:\n%s", got)
		}
	})
}

// FAULTS section 4: ways out of a node.
func TestNodeAttacks(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		canary := "/run/canary" // of the host; nodes have a /run of their image, which is not this one
		writeFile(t, canary, "host")
		t.Cleanup(func() { remove(t, canary) })
		// Seen in the nodes' image, which is the host's; /tmp is their own.
		seen, err := os.MkdirTemp("/srv", "nsnet-test-") //nolint:usetesting // not below /tmp
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(seen) })
		if err := os.Chmod(seen, 0o755); err != nil {
			t.Fatal(err)
		}
		public := filepath.Join(seen, "public")
		writeFile(t, public, "everybody's")
		secret := filepath.Join(seen, "secret")
		writeFile(t, secret, "of root")
		if err := os.Chmod(secret, 0o600); err != nil {
			t.Fatal(err)
		}
		before := hostValues(t)
		r := start(t, "name: NAME\ndefaults: {"+probe(t)+"}\nnodes:\n  a: {limits: {pids: 100}}\n  b: {command: [sleep, infinity]}\n  admin: {caps: [SYS_ADMIN]}\n  open: {seccomp: unconfined}\n  gains: {nnp: false}\n")
		kept := fileSum(t, testenv.Binary(t))

		// What a lab finds closed is not there for its nodes; this is closed by its mode alone.
		lateSecret, ofNobody := filepath.Join(seen, "late"), filepath.Join(seen, "of-nobody")
		writeFile(t, lateSecret, "of root")
		writeFile(t, ofNobody, "of nobody") // who is no user of a node
		if err := errors.Join(os.Chmod(lateSecret, 0o600), os.Chmod(ofNobody, 0o660), os.Chown(ofNobody, 65534, 65534)); err != nil {
			t.Fatal(err)
		}

		r.allowed("a", "read", "/proc/self/status") // the probe runs, and tells what succeeds
		r.allowed("admin", "unshare")
		r.allowed("a", "write", "/proc/sys/net/ipv4/ip_forward", "1") // routers need these
		r.allowed("a", "read", public)
		for _, node := range []string{"a", "open"} {
			for _, attempt := range [][]string{
				{"open-write", "/proc/1/exe"}, {"mknod"}, {"mount"}, {"newmount"}, {"setns"}, {"by-handle"},
				{"chroot", canary}, {"fchdir", canary}, {"chroot", "/devs"}, {"fchdir", "/devs"}, // canary: the host's root, /devs: the lab's
				{"ptrace", "1"},
				{"write", "/proc/sys/kernel/core_pattern", "|/x"}, {"write", "/proc/sys/kernel/modprobe", "/x"},
				{"write", "/proc/sys/kernel/sysrq", "1"}, {"write", "/proc/sysrq-trigger", "h"}, {"write", "/sys/kernel/uevent_helper", "/x"},
				{"write", "/proc/sys/vm/drop_caches", "1"}, {"write", "/proc/sys/fs/file-max", "1"},
				{"write", "/proc/sys/kernel/shmmni", "8192"}, {"write", "/proc/sys/kernel/msgmax", "1"}, {"write", "/proc/sys/kernel/sem", "1 1 1 1"}, {"write", "/proc/sys/kernel/pid_max", "1000"},
				{"write", "/proc/sys/fs/mqueue/queues_max", "9"}, {"write", "/proc/sys/user/max_user_namespaces", "9"}, {"write", "/proc/self/task/../../sys/kernel/shmall", "-1"},
				{"read", "/proc/kcore"}, {"read", "/proc/keys"}, {"read", secret}, {"write", secret, "x"}, {"read", lateSecret}, {"read", ofNobody}, {"read", "/dev/kmsg"}, {"read", "/proc/1/mem"},
				{"open-write", "/proc/1/mem"}, {"read", "/proc/1/environ"},
			} {
				t.Log(node, attempt, r.refused(node, attempt...))
			}
		}
		for _, attempt := range []string{"unshare", "clone", "keyctl", "bpf"} {
			t.Log(attempt, r.refused("a", attempt))
		}
		// A program of root's with the set-user-ID bit, run by another user.
		for node, code := range map[string]int{"gains": 0, "a": 10, "open": 10, "admin": 10} {
			r.sh(node, "cp /probe /tmp/gained && chmod 4755 /tmp/gained")
			if got := testenv.Run(t, "exec", "--user", "1000", r.name+"/"+node, "--", "/tmp/gained", "gained"); got.Code != code {
				t.Errorf("%s: a set-user-ID program: %+v, not exit code %d", node, got, code)
			}
		}
		r.refused("admin", "open-write", "/proc/1/exe")
		r.refused("admin", "write", "/proc/sys/kernel/core_pattern", "|/x")
		r.refused("admin", "chroot", canary)
		for _, path := range container.MaskedPaths() {
			if _, err := os.Stat("/" + path); err != nil {
				continue
			}
			if got := r.sh("a", "if [ -d /"+path+" ]; then ls -A /"+path+"; else head -c 100 /"+path+"; fi"); got != "" {
				t.Errorf("a sees in /%s: %s", path, got)
			}
		}
		if got := r.sh("a", "cat /etc/shadow"); strings.Contains(got, "$") {
			t.Errorf("a has passwords of the host")
		}
		if got := fileSum(t, testenv.Binary(t)); got != kept {
			t.Error("the nsnet program has changed")
		}
		if after := hostValues(t); after != before {
			t.Errorf("the host's values were %s, are %s", before, after)
		}

		for _, node := range []string{"a", "admin"} {
			for line := range strings.Lines(r.sh(node, "cat /proc/self/mountinfo")) {
				fields := strings.Fields(line)
				_, rest, _ := strings.Cut(line, " - ")
				if source := strings.Fields(rest)[1]; strings.HasPrefix(source, "/") && fields[4] != "/probe" {
					t.Errorf("%s has a device of the host mounted: %s", node, line)
				}
			}
			if got := r.sh(node, "stat -c %i / /.. /../.. | sort -u | wc -l"); got != "1" {
				t.Errorf("%s: .. of / leads to %s directories", node, got)
			}
		}
		if got := r.sh("a", "ip link add x0 type veth peer name x1; ls /sys/class/net | tr '\\n' ' '; ip link del x0"); got != "lo x0 x1" {
			t.Errorf("a sees in /sys the interfaces %s", got)
		}
		// Nobody else's processes and groups.
		if got := r.sh("a", "ls -d /proc/[0-9]* | wc -l"); got == "0" || len(got) > 1 {
			t.Errorf("a sees %s processes", got)
		}
		if got := r.sh("a", "cat /proc/self/cgroup"); strings.Contains(got, r.name) || strings.Contains(got, "..") {
			t.Errorf("a sees groups of the host:\n%s", got)
		}
		if got := r.sh("a", "ls -A /sys/fs/cgroup 2>/dev/null; grep -c cgroup /proc/mounts; true"); got != "0" {
			t.Errorf("a has control groups mounted: %s", got)
		}
		// Pids of the host mean nothing inside.
		for _, pid := range []int{r.node("b").PID, r.status().InitPID, os.Getpid()} {
			for _, attempt := range []string{"kill", "ptrace"} {
				if pid > 10 { // small numbers are a's own
					r.refused("a", attempt, strconv.Itoa(pid))
				}
			}
		}
		if got := r.sh("a", "cat /proc/net/unix | grep -c nsnet; true"); got != "0" {
			t.Errorf("a sees sockets of nsnet")
		}
	})
}

// The host's root in a privileged node cannot change the program that its init runs.
func TestPrivilegedNodeCannotChangeNsnet(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, "name: NAME\ndefaults: {"+probe(t)+"}\nnodes: {p: {privileged: true}, a: {}}\n")
		r.refused("p", "open-write", "/proc/1/exe")
		r.refused("a", "open-write", "/proc/1/exe")
		// It is root of the host, and can make a mount writable that is not.
		sum, mode := fileSum(t, testenv.Binary(t)), fileMode(t, testenv.Binary(t))
		got := r.exec("p", "/probe", "unseal", "/proc/1/exe")
		t.Log(got.Stdout, got.Stderr)
		if fileSum(t, testenv.Binary(t)) != sum || fileMode(t, testenv.Binary(t)) != mode {
			t.Error("it has changed the host's program")
		}
		ids, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", r.node("a").PID))
		if err != nil || strings.Fields(string(ids))[1] == "0" {
			t.Errorf("the other node's uid_map: %s, %v", ids, err)
		}
	})
}

// CVE-2019-5736: where everybody may write nsnet's program, nobody in a node can who finds it. It is open there through a mount that is read-only.
func TestProgramIsReadOnly(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		content, err := os.ReadFile(testenv.Binary(t))
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(t.TempDir(), "nsnet")
		writeFile(t, program, string(content))
		if err := os.Chmod(program, 0o777); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(program)
		if err != nil {
			t.Fatal(err)
		}
		r := define(t, "name: NAME\nnodes: {a: {caps: [SYS_PTRACE], "+probe(t)+"}}\n")
		testenv.MustCommand(t, program, "up", "--trust", r.file)
		if why := r.refused("a", "touch", "/proc/1/exe"); why != "read-only file system" {
			t.Errorf("a node that looks into its init may not write the program: %s", why)
		}
		if after, err := os.Stat(program); err != nil || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("the program has changed: %v, %v", after, err)
		}
	})
}

// No signal from inside ends a node's init, or stops it, be it idle or run a command: those that the init passes on to the
// command reach that.
func TestInitIsDeafToItsNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, "name: NAME\nnodes: {idle: {}, busy: {command: [sh, -c, \"trap '' 1 2 3 10 12 15; while :; do sleep 1000; done\"]}, execs: {}}\n")
		for _, node := range []string{"idle", "busy", "execs"} {
			if node == "execs" {
				r.sh(node, "true") // it is no copy of an idle one any more
			}
			pid := r.node(node).PID
			r.exec(node, "bash", "-c", "for s in {1..64}; do kill -$s 1; done; true")
			if now := r.node(node); now.PID != pid || now.State == "dead" {
				t.Errorf("%s: %s, pid %d, was %d: %s", node, now.State, now.PID, pid, now.Reason)
			}
		}
	})
}

// hostValues are values of the kernel that a node must not change.
func hostValues(t *testing.T) string {
	t.Helper()
	return testenv.MustCommand(t, "sh", "-c", "cd /proc/sys && cat kernel/core_pattern kernel/modprobe kernel/sysrq fs/file-max; cat /proc/swaps")
}

func fileMode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	return testenv.MustCommand(t, "sha256sum", path)
}
