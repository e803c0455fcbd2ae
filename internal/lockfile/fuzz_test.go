package lockfile

import "testing"

// What the kernel tells in /proc/locks of a lock that has no holder here is taken for nobody.
func FuzzHolder(f *testing.F) {
	for _, seed := range []string{"1: FLOCK  ADVISORY  WRITE 1234 00:1a:42 0 EOF\n", "1: FLOCK  ADVISORY  WRITE -1 00:1a:42 0 EOF\n", ":::", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, locks string) {
		if pid, found := holder(locks, "00:1a:42"); found && pid <= 0 {
			t.Errorf("the holder is %d", pid)
		}
	})
}
