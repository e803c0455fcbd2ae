package cgroups

import (
	"bytes"
	"testing"
)

// What the kernel tells in /proc holds names that anybody may give, of processes and of mounts.
func FuzzProc(f *testing.F) {
	for _, seed := range []string{
		"29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
		"30 23 0:27 / /sys/fs/cgroup/cpu\\040x rw - cgroup cgroup rw,cpu,cpuacct\n", " - ", "1 2 3:4 5 6 7 - cgroup a b",
		"17 (a) b) S 1 17 17 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 5", ")", "1 () S", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if hs, err := parseMountinfo(bytes.NewReader(b)); err == nil && len(hs) > len(b) {
			t.Errorf("%d hierarchies in %d bytes", len(hs), len(b))
		}
		_, _ = parseStat(b)
	})
}
