package attach

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// An interface that nobody could look for is not taken for gone: what is left of such a one is taken away.
func TestInDoubtItLives(t *testing.T) {
	t.Parallel()
	const path = "/proc/self/ns/mnt" // no network namespace, so that nothing can be asked in it
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	there := Place{Path: path, Dev: st.Dev, Ino: st.Ino}
	j := &journal{dir: t.TempDir()}
	for name, tt := range map[string]struct {
		r    Record
		want bool
	}{
		"cannot be asked":  {Record{Target: there, state: attached}, true},
		"half-way":         {Record{Target: there, state: attaching}, false},
		"nothing is there": {Record{Target: Place{Path: path, PID: os.Getpid()}, state: attached}, false},
	} {
		if got := j.lives(&tt.r); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
