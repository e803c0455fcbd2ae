package vm

import (
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// What is counted for users and how has changed between kernels: user namespaces have counts of their own for processes and queues since 5.14.
// A machine that is starved is no place for other scripts.
func TestStarve(t *testing.T) {
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := machine(t, version, "testdata/starve/starve.sh")
			m.Files = guestFiles(t)
			m.Files["/usr/bin/hog"] = testenv.Program(t, "../testdata/hog")
			boot(t, m)
		})
	}
}
