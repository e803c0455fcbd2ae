package pidfd

import (
	"errors"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPID asks both of the kernel's answers, as a kernel before 6.13 has one alone.
func TestPID(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for name, number := range map[string]func(int) (int, error){"PID": PID, "numbered": numbered} {
		if pid, err := number(fd); pid != cmd.Process.Pid || err != nil {
			t.Errorf("%s: %d, %v; it is %d", name, pid, err, cmd.Process.Pid)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for name, number := range map[string]func(int) (int, error){"PID": PID, "numbered": numbered} {
		if pid, err := number(fd); !errors.Is(err, unix.ESRCH) {
			t.Errorf("%s of a process that has ended: %d, %v", name, pid, err)
		}
	}
	if _, err := PID(1 << 20); err == nil {
		t.Error("no descriptor is no error")
	}
}
