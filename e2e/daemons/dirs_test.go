package daemons

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// root fills a directory with a root filesystem: a shell, users, and declarations of services.
func root(t *testing.T, dir string) {
	t.Helper()
	declarations(t, dir)
	busybox := strings.TrimSpace(testenv.MustCommand(t, "sh", "-c", "command -v busybox"))
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "bin/busybox"), string(program), 0o755)
	for _, applet := range []string{"sh", "stat", "cat", "ls", "grep", "mkdir", "rmdir"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
}

// declarations fills a directory with what root has, but for the shell.
func declarations(t *testing.T, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nrouter:x:901:902::/:/bin/sh\n", 0o644)
	write(t, filepath.Join(dir, "etc/group"), "root:x:0:\nrouter:x:902:\nadm:x:4:\n", 0o644)
	write(t, filepath.Join(dir, "usr/lib/tmpfiles.d/router.conf"), "d /run/router 2770 router adm\nd /var/log/there 0700\n", 0o644)
	write(t, filepath.Join(dir, "usr/lib/systemd/system/router.service"), "[Service]\nUser=router\nRuntimeDirectory=router-run\nStateDirectory=router\nExecStartPre=/usr/bin/prepare\n", 0o644)
	write(t, filepath.Join(dir, "usr/bin/prepare"), "#!/bin/sh\nD=/run/prepared\nmkdir -p $D\nchown router: $D\n", 0o755)
	write(t, filepath.Join(dir, "var/log/there/file"), "", 0o644)
	if err := os.Chmod(filepath.Join(dir, "var"), 0o711); err != nil {
		t.Fatal(err)
	}
}

// What services of a root filesystem expect in /run and /var is there, with its owner, before anything runs: on the
// host's root, in an image, in layers, and in a copy.
func TestDirectoriesOfServices(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "busybox", "sshd", "bird")
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		root(t, dir+"/img")
		declarations(t, dir+"/over")
		write(t, dir+"/plain/file", "", 0o644)
		file := dir + "/lab.yaml"
		const text = `
nodes:
  host: {}
  above: {layers: [./plain]}
  dir: {image: "dir:./img"}
  copy: {image: "dir:./img", storage: copy}
  layered: {layers: [./over]}
`
		write(t, file, text, 0o600)
		r := up(t, file)
		const ask = `for d in run/router run/router-run run/prepared var/lib/router var/log/there var; do stat -c "$d %a %u:%g" /$d; done`
		const want = "run/router 2770 901:4\nrun/router-run 755 901:902\nrun/prepared 755 901:902\nvar/lib/router 755 901:902\nvar/log/there 755 0:0\nvar 711 0:0"
		for _, n := range []string{"dir", "copy", "layered"} {
			if got := r.sh(n, ask); got != want {
				t.Errorf("in %s:\n%s\nwant\n%s", n, got, want)
			}
			if got := testenv.Must(t, "diff", r.name+"/"+n); got != "" {
				t.Errorf("%s has changed before anything ran in it: %s", n, got)
			}
		}
		for _, n := range []string{"host", "above"} {
			if got, want := r.sh(n, "stat -c '%a %U:%G' /run/sshd; stat -c '%a %U:%G' /run/bird; ls -A /run/sshd; ls -d /run/systemd 2>&1 || true"),
				"755 root:root\n775 bird:bird\nls: cannot access '/run/systemd': No such file or directory"; got != want {
				t.Errorf("in %s:\n%s\nwant\n%s", n, got, want)
			}
		}
		// They are the node's own, to change and to remove.
		r.sh("dir", "rmdir /run/prepared && mkdir /run/prepared/.. /run/router/mine 2>/dev/null; ls /run/router | grep mine")

		// A node that comes later has the same, and all learn its name, whatever their root.
		write(t, file, text+"  late: {image: \"dir:./img\"}\nlinks: [{endpoints: [\"late:eth0\", \"host:eth0\"], addresses: [10.1.0.1/24, 10.1.0.2/24]}]\n", 0o600)
		testenv.Must(t, "up", file, "--name", r.name)
		if got := r.sh("late", ask); got != want {
			t.Errorf("in a node that came later:\n%s\nwant\n%s", got, want)
		}
		for _, n := range []string{"host", "above", "dir", "copy", "layered", "late"} {
			r.sh(n, "grep -q '10.1.0.1.*late' /etc/hosts")
		}
	})
}

// A root filesystem is somebody else's: what it declares, and where its links lead, makes nothing elsewhere, and keeps no
// lab from coming up.
func TestDirectoriesOfHostileServices(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "busybox")
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		outside := t.TempDir()
		root(t, dir+"/img")
		for link, to := range map[string]string{"/img/run": outside, "/img/var/lib": outside, "/img/var/cache": "../../../../.." + outside, "/img/etc/tmpfiles.d": outside} {
			if err := os.Symlink(to, dir+link); err != nil {
				t.Fatal(err)
			}
		}
		write(t, outside+"/outside.conf", "d /var/spool/outside\n", 0o644)
		var many strings.Builder
		for i := range 3000 {
			fmt.Fprintf(&many, "d /var/spool/many-%d\n", i)
		}
		write(t, dir+"/img/usr/lib/tmpfiles.d/evil.conf", "d /run/../../"+outside+"/a\nd /var/log/../../etc/b\nd /etc/c\nd /var/log/"+strings.Repeat("x/", 5000)+"\nd /var/log/"+strings.Repeat("y", 300)+"\nd /var/spool/new/"+strings.Repeat("y", 300)+
			"\nd /var/log/big 0755 4000000000 4000000000\nd /var/spool/good\n", 0o644)
		write(t, dir+"/img/usr/lib/tmpfiles.d/many.conf", many.String(), 0o644)
		testenv.MustCommand(t, "mkfifo", dir+"/img/usr/lib/tmpfiles.d/fifo.conf")
		testenv.MustCommand(t, "mkfifo", dir+"/img/usr/lib/systemd/system/fifo.service")
		file := dir + "/lab.yaml"
		write(t, file, "nodes: {n: {image: \"dir:./img\"}}\n", 0o600)
		r := up(t, file)
		if got := r.sh("n", "ls /var/spool | grep -v many; ls /etc /var/log"); got != "good\n/etc:\ngroup\nhostname\nhosts\npasswd\ntmpfiles.d\n\n/var/log:\nthere" {
			t.Errorf("in the node:\n%s", got)
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
			t.Errorf("outside: %v, %v", left, err)
		}
	})
}
