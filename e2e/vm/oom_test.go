package vm

import "testing"

// Goal 15, on control groups of version 2. Version 1 is tried in e2e/faults.
func TestOutOfMemoryIsToldAtOnce(t *testing.T) {
	t.Parallel()
	m := machine(t, "6.12", "testdata/oom/oom.sh")
	m.Modules, m.Files = []string{"overlay", "veth", "bridge"}, guestFiles(t)
	boot(t, m)
}
