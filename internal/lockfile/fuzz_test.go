package lockfile

import "testing"

// What the kernel tells in /proc/locks of a lock that has no holder here is taken for nobody.
func FuzzHolder(f *testing.F) {
	for _, seed := range []string{
		"1: FLOCK  ADVISORY  WRITE 1234 00:1a:42 0 EOF\n", "1: FLOCK  ADVISORY  WRITE -1 00:1a:42 0 EOF\n", ":::", "",
		// With those who wait, of other kinds, and of other files.
		"1: POSIX  ADVISORY  WRITE 611 fe:00:131 0 EOF\n2: FLOCK  ADVISORY  READ 70 00:1a:42 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 71 00:1a:42 0 EOF\n3: OFDLCK ADVISORY  READ -1 00:06:1043 0 99\n",
		"1: LEASE  ACTIVE    READ 44 00:1a:42 0 EOF\n2: FLOCK  ADVISORY  WRITE 0 00:1a:42 0 EOF\n3: FLOCK  ADVISORY  WRITE 17 00:1a:420 0 EOF\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, locks string) {
		if pid, found := holder(locks, "00:1a:42"); found && pid <= 0 {
			t.Errorf("the holder is %d", pid)
		}
	})
}
