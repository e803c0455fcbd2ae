package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/testenv"
)

// What a node has written into a bind without idmap is its own when its lab comes up anew, whatever other labs had meanwhile, also where the bind was made
// anew in the running node. On the host it belongs to ids that nobody has, and to others in each node and each directory.
func TestWritableBindIsKept(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, other := t.TempDir(), t.TempDir()
		for _, d := range []string{dir, other} {
			for _, sub := range []string{"/db", "/shared"} {
				if err := os.Mkdir(d+sub, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(d+sub, 0o777); err != nil { // whatever the umask
					t.Fatal(err)
				}
			}
			writeFile(t, d, "db/host", "the host's")
		}
		const text = `nodes:
  a: {binds: ["./db:/db:rw", "./shared:/shared:rw"]}
  b: {binds: ["./shared:/shared:rw"]}
`
		file := writeFile(t, dir, "lab.yaml", text)
		name := testenv.LabName(t)
		r := run{t, name}
		testenv.Must(t, "up", file, "--name", name)
		r.sh("a", "umask 077; echo root >/db/root; echo daemon >/db/daemon; chown 1:2 /db/daemon; chmod 6755 /db/daemon; mkdir /db/mine; echo a >/shared/a")
		r.sh("b", "echo b >/shared/b")
		owner := func(path string) uint32 {
			t.Helper()
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); err != nil {
				t.Fatal(err)
			}
			return st.Uid
		}
		root := owner(dir + "/db/root")
		if root < 1<<31 || root%container.IDs != 0 || owner(dir+"/db/daemon") != root+1 || owner(dir+"/shared/a") != root {
			t.Errorf("files of a belong to %d, %d and %d", root, owner(dir+"/db/daemon"), owner(dir+"/shared/a"))
		}
		if owner(dir+"/shared/b")-root < container.IDs || root-owner(dir+"/shared/b") < container.IDs {
			t.Errorf("files of a and of b belong to ids of one range: %d and %d", root, owner(dir+"/shared/b"))
		}
		seen := func() {
			t.Helper()
			got := r.sh("a", "cat /db/root; stat -c %u:%g /db/root /db/daemon /db/mine; stat -c %u /db/host /shared/b; echo more >>/db/root; touch /db/mine/$$; touch /db/host 2>/dev/null || echo no")
			if want := "root\n0:0\n1:2\n0:0\n65534\n65534\nno"; !strings.HasPrefix(got, "root\n") || strings.ReplaceAll(got, "more\n", "") != want {
				t.Errorf("a sees\n%s\nand not\n%s", got, want)
			}
		}
		seen()
		testenv.Must(t, "down", name)

		writeFile(t, other, "lab.yaml", text)
		s := start(t, other+"/lab.yaml") // has the ranges that are free
		s.sh("a", "umask 077; echo secret >/db/root")
		if got := owner(other + "/db/root"); got-root < container.IDs || root-got < container.IDs {
			t.Errorf("files of two directories belong to ids of one range: %d and %d", root, got)
		}
		// Who runs what the first lab has left can read nothing of the other's.
		id := strconv.Itoa(int(root))
		if err := os.Chmod(filepath.Dir(other), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, want := range map[string]bool{"/db/host": true, "/db/root": false} {
			if got := testenv.Command(t, "setpriv", "--reuid", id, "--regid", id, "--clear-groups", "cat", other+file); (got.Code == 0) != want {
				t.Errorf("id %s reads %s: exit code %d, %s%s", id, file, got.Code, got.Stdout, got.Stderr)
			}
		}

		startAs(t, name, file)
		seen()
		if err := os.Rename(dir+"/db", dir+"/old"); err != nil {
			t.Fatal(err)
		}
		testenv.MustCommand(t, "cp", "-a", dir+"/old", dir+"/db")
		testenv.Must(t, "up", file, "--name", name)
		seen()
		if got := owner(dir + "/db/mine"); got != root {
			t.Errorf("files of a belong to %d now", got)
		}
	})
}
