package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

func checkHostname(t *testing.T, r run) {
	before, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.sh("ns1", "hostname"); got != "container1" {
		t.Errorf("host name of the node is %q", got)
	}
	if got := r.sh("ns1", "hostname other; hostname"); got != "other" {
		t.Errorf("host name of the node after a change is %q", got)
	}
	if after, err := os.Hostname(); err != nil || after != before {
		t.Errorf("the host's name became %q, was %q: %v", after, before, err)
	}
}

func checkIPC(t *testing.T, r run) {
	queues := func(table string) int { return strings.Count(table, "0x") }
	testenv.MustCommand(t, "ipcmk", "-Q")
	if n := queues(testenv.MustCommand(t, "ipcs", "-q")); n != 1 {
		t.Fatalf("the host has %d message queues, not the one just made", n)
	}
	if n := queues(r.sh("ns1", "ipcs -q")); n != 0 {
		t.Errorf("the node sees %d message queues of the host", n)
	}
	r.sh("ns1", "ipcmk -Q; ipcmk -Q")
	if n := queues(r.sh("ns1", "ipcs -q")); n != 2 {
		t.Errorf("the node sees %d of its two message queues", n)
	}
	if n := queues(testenv.MustCommand(t, "ipcs", "-q")); n != 1 {
		t.Errorf("the host sees %d message queues, not its own one", n)
	}
	makePosixQueue(t, "nsnet-host")
	if got := r.sh("ns1", "ls /dev/mqueue"); got != "" {
		t.Errorf("the node sees POSIX message queues of the host: %s", got)
	}
	if got := r.sh("ns1", "cat /proc/sys/kernel/msgmax"); got != "16384" {
		t.Errorf("kernel.msgmax of the node is %s", got)
	}
	if got := testenv.MustCommand(t, "cat", "/proc/sys/kernel/msgmax"); strings.TrimSpace(got) == "16384" {
		t.Error("kernel.msgmax of the host is the node's")
	}
}

// makePosixQueue makes a message queue by mq_open(2), for as long as the test runs.
func makePosixQueue(t *testing.T, name string) {
	t.Helper()
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(path)),
		unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600, 0, 0, 0)
	if errno != 0 {
		t.Fatalf("make POSIX message queue: %v", errno)
	}
	t.Cleanup(func() {
		_ = unix.Close(int(fd))
		_, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(path)), 0, 0)
	})
}

func checkPID(t *testing.T, r run) {
	lines := strings.Split(r.sh("ns1", "ps -e -o pid= -o args="), "\n")
	// The third is the process between the init and the command of exec.
	want := []string{"init", "sleep infinity", "nsnet: node ns1", "sh -c", "ps -e"}
	if len(lines) != len(want) {
		t.Fatalf("ps in the node lists %d processes, not %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
	}
	if pid := strings.Fields(lines[0])[0]; pid != "1" {
		t.Errorf("the first process of the node is %s, not 1", pid)
	}
	for i, line := range lines[1:] {
		if !strings.Contains(line, want[i+1]) {
			t.Errorf("process %d of the node is %q, not %q", i+1, line, want[i+1])
		}
	}
	n := r.node("ns1")
	if n.State != lab.StateRunning || !strings.Contains(lines[1], strconv.Itoa(n.CommandPID)+" ") {
		t.Errorf("ps says %s, command pid %d; the node says %q", n.State, n.CommandPID, lines[1])
	}
	if comm := processField(t, n.PID, "NSpid"); !strings.HasSuffix(comm, "\t1") {
		t.Errorf("process %d of the host is not PID 1 of the node: NSpid %s", n.PID, comm)
	}
}

// processField is a line of /proc/PID/status.
func processField(t *testing.T, pid int, key string) string {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, key+":\t"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("process %d has no %s", pid, key)
	return ""
}

// commandOf is the process id, as the host sees it, of a node's command.
func commandOf(t *testing.T, n lab.NodeStatus) int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		status, err := os.ReadFile(dir + "/status")
		if err == nil && bytes.Contains(status, []byte("\nPPid:\t"+strconv.Itoa(n.PID)+"\n")) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	t.Fatalf("node %s has no process besides its init", n.Name)
	return 0
}

func checkMount(t *testing.T, r run) {
	for line := range strings.Lines(r.sh("ns1", "mount")) {
		if strings.HasPrefix(line, "/dev/") && !strings.Contains(line, " on /mnt/mount.yaml ") {
			t.Errorf("the node has a disk of the host mounted: %s", line)
		}
	}
	r.sh("ns1", "echo secret > /scratch/file && rm /etc/hostname && echo x > /etc/nsnet-e2e")
	if got := r.sh("ns1", "cat /scratch/file; stat -c %a /scratch; stat -f -c %T /scratch"); got != "secret\n755\ntmpfs" {
		t.Errorf("/scratch of the node: %q", got)
	}
	for _, path := range []string{"/scratch", "/etc/nsnet-e2e", "/mnt/mount.yaml"} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("the host has the node's %s", path)
		}
	}
	if _, err := os.Stat("/etc/hostname"); err != nil {
		t.Errorf("the host lost a file that the node removed: %v", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), "/scratch") || strings.Contains(string(mounts), "/mnt/mount.yaml") {
		t.Errorf("the host has the node's mounts:\n%s", mounts)
	}
	file, err := os.ReadFile(filepath.Join(examplesDir, "mount.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.sh("ns1", "cat /mnt/mount.yaml"); got != strings.TrimSpace(string(file)) {
		t.Error("the bound file differs from the host's")
	}
	r.refused("ns1", "echo x > /mnt/mount.yaml")
	r.refused("ns1", "umount /mnt/mount.yaml")
}

func checkUser(t *testing.T, r run) {
	if got := r.sh("ns1", "id -u"); got != "0" {
		t.Errorf("uid inside is %s", got)
	}
	n := r.node("ns1")
	command := commandOf(t, n)
	for _, pid := range []int{n.PID, command} {
		uid, _ := strconv.Atoi(strings.Fields(processField(t, pid, "Uid"))[0])
		if uid < 100_000 || uint32(uid) != n.UIDBase {
			t.Errorf("root of the node is uid %d on the host, its range begins at %d", uid, n.UIDBase)
		}
		ids, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/uid_map")
		if err != nil {
			t.Fatal(err)
		}
		want := "0 " + strconv.Itoa(int(n.UIDBase)) + " 65536"
		if got := strings.Join(strings.Fields(string(ids)), " "); got != want {
			t.Errorf("uid_map of process %d is %q, not %q", pid, got, want)
		}
	}
	r.sh("ns1", "touch /tmp/made /made && chown 7:8 /made")
	for path, offset := range map[string]uint32{"/tmp/made": 0, "/made": 7} {
		info, err := os.Stat("/proc/" + strconv.Itoa(n.PID) + "/root" + path)
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != n.UIDBase+offset {
			t.Errorf("%s of the node belongs to uid %d of the host, not %d", path, uid, n.UIDBase+offset)
		}
	}
	r.refused("ns1", "echo 1 > /proc/sys/kernel/sysrq")
	r.refused("ns1", "kill -9 2147483647")
	r.sh("ns1", "ip link add br7 type bridge && ip link del br7")
}

func checkLimits(t *testing.T, r run) {
	slow := commandOf(t, r.node("slow"))
	const seconds = 3
	before, since := cpuTime(t, slow), time.Now()
	time.Sleep(seconds * time.Second)
	share := float64(cpuTime(t, slow)-before) / float64(time.Since(since))
	t.Logf("a node at 20 %% of a core used %.1f %%", 100*share)
	// A busy machine can give it less, and never much more.
	if share < 0.05 || share > 0.28 {
		t.Errorf("a node at 20 %% of a core used %.1f %%", 100*share)
	}
	testenv.Eventually(t, 20*time.Second, "the node small is killed", func() bool {
		return r.node("small").State == lab.StateExited
	})
	small := r.node("small")
	if !small.OOMKilled || small.ExitCode == nil || *small.ExitCode != 137 || !strings.Contains(small.Reason, "out of memory") {
		t.Errorf("the node that ran out of memory is shown as %+v", small)
	}
	if table := testenv.Must(t, "ps", r.name); !strings.Contains(table, "exited(137,oom)") {
		t.Errorf("ps does not tell:\n%s", table)
	}
	if text := testenv.Must(t, "inspect", r.name+"/small"); !strings.Contains(text, "out of memory") || !strings.Contains(text, "10 MiB") {
		t.Errorf("inspect does not tell:\n%s", text)
	}
	if got := r.sh("small", "echo alive"); got != "alive" {
		t.Errorf("exec in a node whose command was killed: %q", got)
	}
}

// cpuTime is the processor time that a process has used, proc_pid_stat(5).
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	var ticks int
	for _, f := range fields[11:13] { // utime and stime, in ticks of 10 ms
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
