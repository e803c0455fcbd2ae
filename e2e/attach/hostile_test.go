package attach

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A node has something in place of its resolv.conf that leads to a file of the host, or that is none. attach refuses it, in words,
// changes nothing, and does not wait; detach changes what is the node's alone.
func TestNameserversOfAHostileNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, dir := testenv.LabName(t), t.TempDir()
		file, roots := filepath.Join(dir, "lab.yaml"), filepath.Join(dir, "bind/resolv.conf")
		if err := os.Mkdir(filepath.Join(dir, "bind"), 0o755); err != nil {
			t.Fatal(err)
		}
		write := func(path, text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write(file, "name: "+name+"\nnodes: {n: {caps: [SYS_ADMIN], binds: [\"./bind:/bind:rw\"]}}\n")
		write(roots, "of root\n")
		testenv.Must(t, "up", file)
		t.Cleanup(func() { testenv.Run(t, "down", name) })
		in := func(script string) {
			t.Helper()
			testenv.Must(t, "exec", name+"/n", "--", "sh", "-ec", "cd /etc; "+script)
		}
		untouched := func(of string) {
			t.Helper()
			b, err := os.ReadFile(roots)
			if entries := names(t, filepath.Join(dir, "bind")); err != nil || string(b) != "of root\n" || entries != "resolv.conf" {
				t.Errorf("%s: root's file is %q, %v, beside %s", of, b, err, entries)
			}
		}
		attach := func() testenv.Result {
			t.Helper()
			args := strings.Fields("attach --node " + name + "/n " + toHost + " --dns 192.0.2.53")
			return testenv.Command(t, append([]string{"timeout", "-k", "1", "60", testenv.Binary(t)}, args...)...)
		}
		for made, words := range map[string]string{
			"ln -s /bind/resolv.conf resolv.conf":                        "it belongs to user 0 of the host",
			"ln -s /bind/new resolv.conf":                                "its directory /bind: it belongs to user 0 of the host",
			": >resolv.conf; mount --bind /bind/resolv.conf resolv.conf": "it belongs to user 0 of the host",
			"mkfifo resolv.conf":                                         "it is a named pipe",
			"mkfifo pipe; ln -s pipe resolv.conf":                        "it is a named pipe",
			"mkdir resolv.conf":                                          "it is a directory",
			"ln -s resolv.conf resolv.conf":                              "symbolic links",
			"ln -s /dev/null resolv.conf":                                "it is a device",
			"truncate -s 1G resolv.conf":                                 "it has more than 65535 bytes",
			"ln -s /proc/1/root/etc/passwd resolv.conf":                  "--dns",
			"python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"resolv.conf\")'": "it is a socket",
		} {
			in("umount resolv.conf 2>/dev/null || :; rm -rf resolv.conf pipe; " + made)
			refused(t, attach(), 1, "--dns", words)
			untouched(made)
		}
		// It is the node's when it is attached, and leads elsewhere when it is detached.
		for _, before := range []string{": >resolv.conf", ""} {
			in("umount resolv.conf 2>/dev/null || :; rm -rf resolv.conf pipe; " + before)
			if res := attach(); res.Code != 0 {
				t.Fatalf("%+v", res)
			}
			content, err := os.ReadFile(roots)
			if err != nil {
				t.Fatal(err)
			}
			write(roots, "nameserver 192.0.2.53\n") // as it was left
			in("rm -f resolv.conf; ln -s /bind/resolv.conf resolv.conf; mv /etc /was; ln -s /bind /etc")
			must(t, "detach --node %s/n --all", name)
			if b, err := os.ReadFile(roots); err != nil || string(b) != "nameserver 192.0.2.53\n" {
				t.Errorf("detached: root's file is %q, %v", b, err)
			}
			write(roots, string(content))
			testenv.Must(t, "exec", name+"/n", "--", "sh", "-ec", "rm /etc; mv /was /etc; rm -f /etc/resolv.conf")
		}
		testenv.Must(t, "down", name)
	})
}
