package cgroups

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// run interprets a program for devices, as far as it uses instructions.
func runProgram(t *testing.T, prog []instruction, context [3]uint32) uint64 {
	t.Helper()
	var r [5]uint64
	for pc, steps := 0, 0; steps < 1000; pc, steps = pc+1, steps+1 {
		switch i := prog[pc]; i.op {
		case opLoad:
			r[i.dst] = uint64(context[i.offset/4])
		case opAnd:
			r[i.dst] &= uint64(i.value)
		case opMove:
			r[i.dst] = uint64(i.value)
		case opNotEq:
			if r[i.dst] != uint64(i.value) {
				pc += int(i.offset)
			}
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if r[i.dst] == uint64(i.value) {
				pc += int(i.offset)
			}
		case opExit:
			return r[0]
		default:
			t.Fatalf("instruction %#x", i.op)
		}
	}
	t.Fatal("it does not end")
	return 0
}

func TestDeviceProgram(t *testing.T) {
	t.Parallel()
	prog := deviceProgram(deviceRules())
	const read, write, mknod = unix.BPF_DEVCG_ACC_READ << 16, unix.BPF_DEVCG_ACC_WRITE << 16, unix.BPF_DEVCG_ACC_MKNOD << 16
	for _, c := range []struct {
		access, kind, major, minor uint32
		want                       uint64
	}{
		{read, unix.BPF_DEVCG_DEV_CHAR, 1, 3, 1}, {write | read, unix.BPF_DEVCG_DEV_CHAR, 1, 3, 1}, {mknod, unix.BPF_DEVCG_DEV_CHAR, 1, 5, 1},
		{read, unix.BPF_DEVCG_DEV_CHAR, 136, 0, 1}, {read, unix.BPF_DEVCG_DEV_CHAR, 136, 99, 1}, {read, unix.BPF_DEVCG_DEV_CHAR, 10, 200, 1},
		{read, unix.BPF_DEVCG_DEV_CHAR, 1, 1, 0}, {read, unix.BPF_DEVCG_DEV_CHAR, 10, 229, 0}, {read, unix.BPF_DEVCG_DEV_CHAR, 3, 1, 0}, {mknod, unix.BPF_DEVCG_DEV_CHAR, 1, 2, 0},
		{read, unix.BPF_DEVCG_DEV_BLOCK, 1, 3, 0}, {read, unix.BPF_DEVCG_DEV_BLOCK, 8, 0, 0}, {mknod, unix.BPF_DEVCG_DEV_BLOCK, 136, 0, 0},
	} {
		if got := runProgram(t, prog, [3]uint32{c.access | c.kind, c.major, c.minor}); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// The verifier gives up with EAGAIN when a signal waits for the thread, and a Go program's threads get them at any time.
func TestLoadDeviceProgramAmongSignals(t *testing.T) {
	testenv.Root(t)
	if fd, err := loadDeviceProgram(deviceRules()); err != nil {
		testenv.Miss(t, err.Error())
	} else if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, tid, done, stopped := unix.Getpid(), unix.Gettid(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
				_ = unix.Tgkill(pid, tid, unix.SIGURG)
			}
		}
	}()
	defer func() { close(done); <-stopped }()
	for i := range 500 {
		fd, err := loadDeviceProgram(deviceRules())
		if err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
	}
}

// What a group's rules forbid is refused by the kernel, on both versions where the machine has both.
func TestRestrictDevices(t *testing.T) {
	h, lab := contract(t, topology.Limits{})
	tried := 0
	for _, hy := range h.hierarchies {
		if !hy.unified && strings.Join(hy.controllers, " ") != "devices" {
			continue
		}
		tried++
		one := &Host{Version: h.Version, hierarchies: []hierarchy{hy}}
		if err := one.CanRestrictDevices(); err != nil {
			t.Errorf("%s: %v", hy.root, err)
			continue
		}
		g, err := one.RestrictDevices(lab, "n")
		if err != nil {
			t.Errorf("%s: %v", hy.root, err)
			continue
		}
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil { // with devices, whatever /tmp has
			t.Fatal(err)
		}
		for name, dev := range map[string]uint64{"mem": unix.Mkdev(1, 1), "kmsg": unix.Mkdev(1, 11)} {
			if err := unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR|0o666, int(dev)); err != nil {
				t.Fatal(err)
			}
		}
		cmd, start := shell(t, fmt.Sprintf(`cd %s
			for d in null zero full random urandom tty ptmx; do [ $d = tty ] || : </dev/$d || exit 1; done
			mknod mine c 1 3 && : >mine || exit 2
			(: <kmsg) 2>&1 | grep -qi 'not permitted' || exit 3
			mknod disk b 8 0 2>&1 | grep -qi 'not permitted' || exit 4
			mknod other c 1 11 2>/dev/null && exit 5
			exit 0`, dir))
		add(t, g, cmd)
		start()
		err = cmd.Wait()
		if _, serr := os.Stat(filepath.Join(dir, "disk")); serr == nil {
			t.Errorf("%s: a block device was made", hy.root)
		}
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		if err != nil {
			t.Errorf("%s: %v", hy.root, err)
		}
	}
	if tried == 0 {
		testenv.Miss(t, "no hierarchy restricts devices")
	}
}
