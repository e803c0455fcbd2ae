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
		// As the kernel says them: a machine with both versions, one with the second, and a process in a container.
		"74 73 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n75 74 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n" +
			"76 74 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n90 74 0:32 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate\n" +
			"91 74 0:33 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:10 - cgroup systemd rw,xattr,name=systemd\n",
		"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
		"612 599 0:26 /../../docker/0123 /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n",
		"68 (nsnet-lab) S 1 68 68 0 -1 4194560 765 281 1 0 0 1 0 0 20 0 8 0 1287711 1302286336 2926 18446744073709551615 4194304 11110449 140735392000672 0 0 0 0 4103 2143416056 0 0 0 17 0 0 0 0 0 0 17584128 17899328 332935168 140735392006087 140735392006103 140735392006103 140735392006119 0\n",
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
