package lockfile

import "testing"

func TestHolder(t *testing.T) {
	t.Parallel()
	const locks = "1: POSIX  ADVISORY  WRITE 77 00:1a:42 0 EOF\n" +
		"2: FLOCK  ADVISORY  WRITE 4321 00:1a:42 0 EOF\n" +
		"2: -> FLOCK  ADVISORY  WRITE 99 00:1a:42 0 EOF\n" +
		"3: FLOCK  ADVISORY  WRITE 0 00:1a:43 0 EOF\n"
	for file, want := range map[string]int{"00:1a:42": 4321, "00:1a:43": 0, "00:1a:44": 0} {
		if pid, found := holder(locks, file); found != (want > 0) || found && pid != want {
			t.Errorf("%s: %d, %v", file, pid, found)
		}
	}
}
