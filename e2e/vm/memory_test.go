package vm

import "testing"

// A lab that takes all the memory it is given leaves the host a quarter, on both versions of control groups.
func TestLabsLeaveMemory(t *testing.T) {
	for version, groups := range map[string]string{"6.1": "version 1", "6.12": "version 2"} {
		t.Run(groups, func(t *testing.T) {
			t.Parallel()
			m := machine(t, version, "testdata/memory/memory.sh")
			m.Memory, m.Files = 768, guestFiles(t)
			boot(t, m)
		})
	}
}
