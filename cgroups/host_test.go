package cgroups

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	mountsV2 = `23 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`
	mountsHybrid = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	mountsV1Container = `700 690 0:29 /docker/ab /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory
701 690 0:29 / /mnt/my\040memory rw - cgroup cgroup rw,memory
702 690 0:30 / /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids
`
)

func TestParseMountinfo(t *testing.T) {
	for _, c := range []struct {
		name, mounts string
		version      Version
		want         []hierarchy
	}{
		{"nothing", "", None, nil},
		{"garbage", "a b c\n1 2 - x\n", None, nil},
		{"v2", mountsV2, V2, []hierarchy{{root: "/sys/fs/cgroup", unified: true}}},
		{"hybrid", mountsHybrid, Hybrid, []hierarchy{
			{root: "/sys/fs/cgroup/cpu,cpuacct", controllers: []string{"cpu", "cpuacct"}},
			{root: "/sys/fs/cgroup/systemd"},
			{root: "/sys/fs/cgroup/unified", unified: true},
		}},
		{"v1 in a container, writable elsewhere", mountsV1Container, V1, []hierarchy{
			{root: "/mnt/my memory", controllers: []string{"memory"}},
			{root: "/sys/fs/cgroup/pids", readOnly: true, controllers: []string{"pids"}},
		}},
		{"only systemd's own", "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n", None,
			[]hierarchy{{root: "/sys/fs/cgroup/systemd"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseMountinfo(strings.NewReader(c.mounts))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, cmp.AllowUnexported(hierarchy{})); d != "" {
				t.Error(d)
			}
			if v := version(got); v != c.version {
				t.Errorf("version %s, want %s", v, c.version)
			}
		})
	}
}

func TestNamesStayInside(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "/", "../x", "a\nb"} {
		if checkName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
		if err := new(Host).RemoveLab(t.Context(), name, nobody); err == nil {
			t.Errorf("the groups of a lab named %q could be removed", name)
		}
	}
}
