package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/testenv"
)

// A node can leave set-user-ID programs on the host that belong to any of its ids: in a directory that is bound to be written, or in any other
// that a user of the host hands it over a socket in a bind. Whoever runs one has that id, when other labs are there. It gives nothing over them.
func TestLeftProgramsGiveNothing(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, outside := t.TempDir(), t.TempDir()
		for _, d := range []string{dir, outside, dir + "/w", dir + "/r"} {
			if err := os.MkdirAll(d, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(d, 0o777); err != nil { // whatever the umask
				t.Fatal(err)
			}
		}
		hand(t, dir+"/r/socket", outside)
		leave := `python3 -c "
import os, socket
s = socket.socket(socket.AF_UNIX)
s.connect('/r/socket')
handed = socket.recv_fds(s, 1, 1)[1][0]
for at in (handed, os.open('/w', os.O_PATH)):
    for id in (0, 1, 2, 3, 1000):
        name = '%s.%d' % (os.uname().nodename, id)
        os.close(os.open(name, os.O_CREAT | os.O_EXCL, dir_fd=at))
        os.chown(name, id, id, dir_fd=at)
        os.chmod(name, 0o6755, dir_fd=at)
"`
		const two = "nodes:\n  a: {binds: [./w:/w:rw, ./r:/r]}\n  b: {binds: [./w:/w:rw, ./r:/r]}\n"
		file := func(name, text string) string { return writeFile(t, dir, name, text) }
		one, evil := testenv.LabName(t), testenv.LabName(t)
		// Labs of other sizes than later, so that a later one would begin elsewhere if ids were given away anew from the first on.
		testenv.Must(t, "up", file("one.yaml", "nodes: {n: {}}\n"), "--name", one)
		testenv.Must(t, "up", file("evil.yaml", two), "--name", evil)
		for _, n := range []string{"a", "b"} {
			run{t, evil}.sh(n, leave)
		}
		// A node that joins a running lab has the range of none that has left something, not even of that lab.
		testenv.Must(t, "up", file("evil.yaml", "nodes:\n  a: {binds: [./w:/w:rw, ./r:/r]}\n  c: {binds: [./w:/w:rw, ./r:/r]}\n"), "--name", evil)
		left := owners(t, dir+"/w", outside)
		if len(left) < 10 {
			t.Fatalf("the nodes have left programs of %v alone", left)
		}
		powerless(t, run{t, evil}, left, "c")
		run{t, evil}.sh("c", leave)
		testenv.Must(t, "down", evil)
		testenv.Must(t, "down", one)
		left = owners(t, dir+"/w", outside)

		for _, text := range []string{"nodes: {n: {}, m: {}}\n", "nodes: {a: {}, b: {}, c: {}}\n", two, "nodes: {n: {privileged: true}, a: {}, b: {}}\n"} {
			r := start(t, file(testenv.LabName(t)+".yaml", text))
			for _, n := range r.status().Nodes {
				if n.UIDBase != 0 {
					powerless(t, r, left, n.Name)
				}
			}
		}
	})
}

// hand gives a directory to everybody who connects to a socket. unix(7), SCM_RIGHTS.
func hand(t *testing.T, socket, dir string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			_, _, _ = c.WriteMsgUnix([]byte{0}, unix.UnixRights(int(d.Fd())), nil)
			c.Close()
		}
	}()
}

// owners are those of the set-user-ID programs in directories.
func owners(t *testing.T, dirs ...string) map[int]string {
	t.Helper()
	all := map[int]string{}
	for _, dir := range dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(dir, f.Name()), &st); err != nil {
				t.Fatal(err)
			}
			if st.Mode&unix.S_ISUID != 0 {
				if st.Uid < 0x70000000 {
					t.Errorf("%s belongs to the host's user %d", f.Name(), st.Uid)
				}
				all[int(st.Uid)] = filepath.Join(dir, f.Name())
			}
		}
	}
	return all
}

// powerless checks that those who own files have no power over a node.
func powerless(t *testing.T, r run, left map[int]string, node string) {
	t.Helper()
	pid := r.node(node).PID
	first, _ := mapped(t, pid)
	for id, file := range left {
		if id >= first && id < first+container.IDs {
			t.Errorf("%s belongs to id %d, which is id %d of node %s", file, id, id-first, node)
		}
		as := func(argv ...string) int {
			id := strconv.Itoa(id)
			return testenv.Command(t, append([]string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups"}, argv...)...).Code
		}
		if as("true") != 0 {
			t.Fatalf("no process can have id %d", id)
		}
		if as("nsenter", "--preserve-credentials", fmt.Sprintf("--user=/proc/%d/ns/user", pid), "true") == 0 {
			t.Errorf("who runs %s is root of node %s", file, node)
		}
		if as("sh", "-c", fmt.Sprintf("kill -0 %d", pid)) == 0 {
			t.Errorf("who runs %s can end node %s", file, node)
		}
	}
	for above := range 2 {
		if owner := ownerOf(t, pid, above); left[owner] != "" {
			t.Errorf("%s belongs to id %d, which is the master of node %s or of its lab", left[owner], owner, node)
		}
	}
}
