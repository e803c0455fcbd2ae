package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// No node opens a device that is not a node's: one that is the host's root gets EPERM, by whatever way it comes by the
// device; others can neither make one nor open what a bind brings in.
func TestDevices(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			t.Fatal(err)
		}
		if fs.Flags&unix.ST_NODEV != 0 { // not in any case: of tmpfs there are no idmapped mounts before Linux 6.3
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			atEnd(t, "umount", dir)
		}
		kmsg := filepath.Join(dir, "kmsg")
		if err := unix.Mknod(kmsg, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11))); err != nil {
			t.Fatal(err)
		}
		// Anybody may open this one, where a mount has devices at all.
		if err := unix.Mknod(filepath.Join(dir, "zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
			t.Fatal(err)
		}
		r := start(t, writeFile(t, t.TempDir(), "lab.yaml", `
defaults: {binds: ["`+kmsg+`:/mnt/bound", "`+dir+`:/mnt/devices"]}
nodes:
  root: {privileged: true}
  plain: {tun: true}
`))
		for _, node := range []string{"root", "plain"} {
			r.sh(node, `set -e; for d in null zero full random urandom ptmx; do : </dev/$d; done; echo x >/dev/null
				head -c 1 /dev/zero >/dev/null; head -c 1 /dev/urandom >/dev/null; { : <>/dev/net/tun; }`)
			for _, path := range []string{"/mnt/bound", "/mnt/devices/kmsg", "/mnt/devices/zero"} {
				if said := strings.ToLower(r.refused(node, ": <"+path)); !strings.Contains(said, "permi") {
					t.Errorf("%s: %s: %s", node, path, said)
				}
			}
			if said := r.refused(node, "mknod /tmp/disk b 8 0"); !strings.Contains(said, "not permitted") {
				t.Errorf("%s: mknod: %s", node, said)
			}
		}
		r.sh("root", "mknod /tmp/null c 1 3 && echo x >/tmp/null")
		// The host's root can have a bind without nodev, and all of the kernel's devices.
		for _, way := range []string{
			"mount -o remount,bind,dev /mnt/devices && : </mnt/devices/kmsg",
			"mkdir /mnt/dev && mount -t devtmpfs dev /mnt/dev && : </mnt/dev/kmsg",
		} {
			if said := r.refused("root", way); !strings.Contains(said, "ermitted") || !strings.Contains(said, "kmsg") {
				t.Errorf("%s: %s", way, said)
			}
		}
		if got := r.exec("plain", "sh", "-c", "grep -v '^0::' /proc/self/cgroup | grep devices"); strings.Contains(got.Stdout, "nsnet") {
			t.Errorf("a node that needs no group has one: %s", got.Stdout)
		}
	})
}
