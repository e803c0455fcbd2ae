package vm

import (
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// FAULTS 16, goal 16: a real card, which the kernel brings home by itself, too, though not as it was.
func TestFault16_LentCardComesHome(t *testing.T) {
	t.Parallel()
	m := machine(t, "6.12", "testdata/lent/lent.sh")
	m.Modules, m.Card = []string{"overlay", "veth", "bridge"}, true
	m.Files = guestFiles(t)
	m.Files["/usr/bin/nsnet"] = testenv.FailpointBinary(t)
	boot(t, m)
}
