package lab

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// The program of a lab's init is found by the number of its descriptor, wherever that stands among those that are handed down.
func TestStartInitWhateverTheNumbers(t *testing.T) {
	testenv.Isolate(t, func(t *testing.T) {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		for above := range 4 {
			program, err := unix.Open("/bin/true", unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			number := 100 + above
			if err := unix.Dup3(program, number, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			if err := unix.Dup3(int(null.Fd()), 100-1, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			_ = unix.Close(program)
			exe := os.NewFile(uintptr(number), "true")
			p, err := startInit(exe, "x", &record{}, []uintptr{null.Fd(), null.Fd(), 99}, nil)
			if err != nil {
				t.Fatalf("%d above the others: %v", above+1, err)
			}
			if state, err := p.Wait(); err != nil || !state.Success() {
				t.Errorf("%d above the others: %v, %v", above+1, state, err)
			}
			exe.Close()
		}
		_ = unix.Close(99)
	})
}
