package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// machine is one that runs these scripts, by name.
func machine(t *testing.T, names []string, scripts map[string]string) *Machine {
	t.Helper()
	testenv.Need(t, "qemu-system-x86_64", "busybox", "ip")
	k, err := Find("6.1")
	if err != nil {
		testenv.Miss(t, err.Error())
	}
	m := &Machine{Kernel: k, Modules: []string{"dummy"}, Programs: []string{"ip"}}
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name+".sh")
		if err := os.WriteFile(path, []byte(scripts[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		m.Scripts = append(m.Scripts, path)
	}
	return m
}

func run(t *testing.T, m *Machine) ([]Result, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // on a host that is busy with other tests
	defer cancel()
	return m.Run(ctx)
}

// What goes wrong in a guest is seen outside, and does not touch the script behind it.
func TestScripts(t *testing.T) {
	t.Parallel()
	m := machine(t, []string{"good", "fails", "condition", "leaves-link", "leaves-process", "refused", "silent", "last"}, map[string]string{
		"good":           "uname -r; has \"$(uname -r)\" ^6.1; refused 3 sh -c 'exit 3'; ip link add d7 type dummy; ip link del d7\n",
		"fails":          "echo before; false; echo beyond\n",
		"condition":      "[ 1 = 2 ]\n",
		"leaves-link":    "ip link add left0 type dummy\n",
		"leaves-process": "sleep 1000 &\n",
		"refused":        "refused 7 true\n",
		"silent":         "printf 'no end of line'\n",
		"last":           "[ -z \"$(processes)\" ]; [ ! -e /sys/class/net/left0 ] || ip link del left0\n",
	})
	results, console, err := run(t, m)
	if err != nil {
		t.Fatalf("%v\n%s", err, console)
	}
	want := map[string]struct {
		code int
		said string
	}{
		"good": {0, "6.1."}, "fails": {1, "before"}, "condition": {1, ""}, "leaves-link": {1, "+left0"}, "leaves-process": {1, "+sleep 1000"},
		"refused": {1, "exit code 0, not 7"}, "silent": {0, "no end of line"},
	}
	for _, r := range results {
		w, listed := want[r.Name]
		if !listed {
			continue // it clears up what the others left
		}
		if r.Code != w.code || !strings.Contains(r.Output, w.said) || strings.Contains(r.Output, "beyond\n") {
			t.Errorf("%s: exit code %d, want %d, with %q in\n%s", r.Name, r.Code, w.code, w.said, r.Output)
		}
	}
}

// A machine that dies is an error that says in which script.
func TestPanic(t *testing.T) {
	t.Parallel()
	m := machine(t, []string{"first", "dies", "never"}, map[string]string{"first": "true\n", "dies": "echo c >/proc/sysrq-trigger\n", "never": "true\n"})
	_, console, err := run(t, m)
	if err == nil || !strings.Contains(err.Error(), "kernel 6.1: the machine ended in script dies") {
		t.Errorf("%v\n%s", err, console)
	}
}

func TestMissingModule(t *testing.T) {
	t.Parallel()
	m := machine(t, nil, nil)
	m.Modules = append(m.Modules, "no-such-module")
	if _, _, err := run(t, m); err == nil || !strings.Contains(err.Error(), "no-such-module is neither a module of this kernel nor built in") {
		t.Error(err)
	}
}

// A power cut loses what was not written to the disk, and that alone; the next machine goes on with it. A card has a cable.
func TestDiskAndCard(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "a, b")
	if err := os.WriteFile(disk, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	first := machine(t, []string{"card", "cut"}, map[string]string{
		"card": "[ ! -e /sys/class/net/eth1 ]; grep 52:54:00 /sys/class/net/eth0/address\n",
		"cut": "ip link set eth0 up; eventually grep -q 1 /sys/class/net/eth0/carrier; " +
			"mke2fs -F /dev/vda >/dev/null; mount -t ext4 /dev/vda /mnt; echo whole >/mnt/written; sync; echo whole >/mnt/in-memory; power_cut\n",
	})
	first.Disk, first.Card, first.Cut = disk, true, true
	results, console, err := run(t, first)
	if err != nil || len(results) != 1 || results[0].Code != 0 {
		t.Fatalf("%v\n%s", err, console)
	}
	next := machine(t, []string{"next"}, map[string]string{"next": "[ ! -e /sys/class/net/eth0 ]; mount -t ext4 /dev/vda /mnt; grep whole /mnt/written; [ ! -e /mnt/in-memory ]; umount /mnt\n"})
	next.Disk = disk
	if results, console, err = run(t, next); err != nil || results[0].Code != 0 {
		t.Errorf("%v\n%s", err, console)
	}
}
