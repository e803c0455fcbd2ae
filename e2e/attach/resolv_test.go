package attach

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// bare starts a process with a network namespace and an /etc of its own, in which links are symbolic links, and
// returns it with that directory.
func bare(t *testing.T, links map[string]string) (pid int, etc string) {
	t.Helper()
	etc = t.TempDir()
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(etc, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--net", "--mount", "sh", "-c", "mount --bind "+etc+" /etc && mount -t tmpfs none /srv && mkdir /srv/run && exec sleep 1000000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid = cmd.Process.Pid
	testenv.Eventually(t, 5*time.Second, "the target has files of its own", func() bool {
		name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		return err == nil && string(name) == "sleep\n"
	})
	return pid, etc
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// A target without a resolv.conf gets one, where a link to nothing leads if there is one, and loses it with the interface.
func TestNameserversWithoutFile(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		machine, machines := resolvConf(t)
		for name, c := range map[string]struct {
			links map[string]string
			place string // seen from the target
		}{
			"nothing":          {nil, "/etc/resolv.conf"},
			"a link":           {map[string]string{"resolv.conf": "../srv/run/stub.conf"}, "/srv/run/stub.conf"},
			"an absolute link": {map[string]string{"resolv.conf": "/etc/other", "other": "third"}, "/etc/third"},
		} {
			pid, etc := bare(t, c.links)
			before := names(t, etc)
			file := fmt.Sprintf("/proc/%d/root%s", pid, c.place)
			must(t, "attach --pid %d %s --dns 192.0.2.53", pid, toHost)
			if got, err := os.ReadFile(file); err != nil || string(got) != "nameserver 192.0.2.53\n" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			if st, err := os.Lstat(file); err != nil || st.Mode() != 0o644 {
				t.Errorf("%s: %v, %v", name, st, err)
			}
			must(t, "detach --pid %d --all", pid)
			if _, err := os.Lstat(file); err == nil || names(t, etc) != before {
				t.Errorf("%s: after detach: %v, in /etc %q", name, err, names(t, etc))
			}
			// What somebody has changed since is theirs.
			must(t, "attach --pid %d %s --dns 192.0.2.53", pid, toHost)
			if err := os.WriteFile(file, []byte("nameserver 192.0.2.1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			must(t, "detach --pid %d --all", pid)
			if got, err := os.ReadFile(file); err != nil || string(got) != "nameserver 192.0.2.1\n" {
				t.Errorf("%s: what somebody wrote is %q now, %v", name, got, err)
			}
		}
		if got, err := os.ReadFile(machine); err != nil || string(got) != machines {
			t.Errorf("the host's resolv.conf: %q, %v", got, err)
		}
	})
}

// Where none can be made, or what would be made is the host's, nothing is changed.
func TestNameserversRefused(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		_, _ = resolvConf(t)
		for target, words := range map[string]string{"../srv/none/resolv.conf": "its directory /srv/none: no such file", "../var/nsnet-test-resolv.conf": "the host's", "resolv.conf": "too many levels"} {
			pid, etc := bare(t, map[string]string{"resolv.conf": target})
			clean, before := view(t, pid), names(t, etc)
			refused(t, nsnet(t, "attach --pid %d %s --dns 192.0.2.53", pid, toHost), 1, "--dns", words)
			same(t, "target", clean, view(t, pid))
			if after := names(t, etc); after != before {
				t.Errorf("in /etc: %q, and not %q", after, before)
			}
			if _, err := os.Lstat("/var/nsnet-test-resolv.conf"); err == nil {
				t.Error("a file was made on the host")
			}
		}
		// What fails behind it takes the file away again: a broadcast address is no next hop.
		pid, etc := bare(t, nil)
		clean := view(t, pid)
		if res := nsnet(t, "attach --pid %d --ip 10.2.0.2/24 --peer-ip 10.2.0.1/24 --route 10.9.0.0/16,10.2.0.255 --dns 192.0.2.53", pid); res.Code == 0 {
			t.Errorf("%+v", res)
		}
		same(t, "target", clean, view(t, pid))
		if left := names(t, etc); left != "" {
			t.Errorf("left in /etc: %q", left)
		}
	})
}

// A node of a lab is root of another user namespace, in whose files the host's root cannot make any.
func TestNameserversOfANode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name := testenv.LabName(t)
		file := filepath.Join(t.TempDir(), "lab.yaml")
		if err := os.WriteFile(file, []byte("name: "+name+"\nnodes: {n: {}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		testenv.Must(t, "up", file)
		t.Cleanup(func() { testenv.Run(t, "down", name) })
		testenv.Must(t, "exec", name+"/n", "--", "rm", "-f", "/etc/resolv.conf")
		must(t, "attach --node %s/n %s --dns 192.0.2.53", name, toHost)
		got := testenv.Must(t, "exec", name+"/n", "--", "sh", "-c", "cat /etc/resolv.conf; stat -c %u:%g:%a /etc/resolv.conf; echo '# mine' >>/etc/resolv.conf && cat /etc/resolv.conf | sed '$d' >/x && cat /x >/etc/resolv.conf")
		if got != "nameserver 192.0.2.53\n0:0:644\n" {
			t.Errorf("in the node: %q", got)
		}
		must(t, "detach --node %s/n --all", name)
		if res := testenv.Run(t, "exec", name+"/n", "--", "ls", "/etc/resolv.conf"); res.Code == 0 {
			t.Errorf("after detach: %+v", res)
		}
		testenv.Must(t, "down", name)
	})
}
