package lab

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// FAULTS 5.
func TestFault05_EnoughRoom(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		st   unix.Statfs_t
		want string
	}{
		"enough":             {unix.Statfs_t{Blocks: 100, Bavail: 10, Bsize: 4096, Files: 100, Ffree: 20}, ""},
		"does not count":     {unix.Statfs_t{Bsize: 4096}, ""},
		"few blocks":         {unix.Statfs_t{Blocks: 100, Bavail: 1, Bsize: 4096, Files: 100, Ffree: 20}, "17 KiB needed, 4 KiB free"},
		"few inodes":         {unix.Statfs_t{Blocks: 100, Bavail: 10, Bsize: 4096, Files: 100, Ffree: 15}, "16 files needed, for 15 free"},
		"full, and no files": {unix.Statfs_t{Blocks: 100, Bsize: 4096}, "0 KiB free"},
	} {
		err := enoughRoom(&tt.st, 1000, 2)
		if (err != nil) != (tt.want != "") || err != nil && (!errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// FAULTS 8.
func TestFault08_ProcessLimits(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for path, content := range map[string]string{
		"proc/sys/kernel/pid_max":              "32768\n",
		"proc/loadavg":                         "0.1 0.2 0.3 4/1234 5678\n",
		"proc/self/limits":                     "Limit                     Soft Limit           Hard Limit           Units     \nMax processes             10                   96365                processes \nMax open files            1024                 524288               files     \n",
		"proc/self/cgroup":                     "9:cpu:/x\n8:pids:/a/b\n0::/s\n",
		"sys/fs/cgroup/pids/a/pids.max":        "100\n",
		"sys/fs/cgroup/pids/a/pids.current":    "7\n",
		"sys/fs/cgroup/pids/a/b/pids.max":      "max\n",
		"sys/fs/cgroup/unified/s/pids.max":     "50\n",
		"sys/fs/cgroup/unified/s/pids.current": "1\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	limits := processLimits(root)
	want := []processLimit{{"the sysctl kernel.pid_max", 32768, 1234}, {"ulimit -u", 96365, 0}, {"pids.max of /sys/fs/cgroup/pids/a", 100, 7}, {"pids.max of /sys/fs/cgroup/unified/s", 50, 1}}
	if !slices.Equal(limits, want) {
		t.Errorf("got  %+v\nwant %+v", limits, want)
	}
	idle := func(n int) []topology.Node { return make([]topology.Node, n) }
	busy := topology.Node{Command: []string{"sleep", "1"}}
	image := topology.Node{Image: topology.Image{Kind: topology.ImageRegistry, Name: "app"}}
	none := image
	none.CommandGiven = true
	for name, tt := range map[string]struct {
		start []topology.Node
		cpus  int
		want  string
	}{
		"enough":                        {idle(28), 2, ""},
		"too many nodes":                {idle(29), 2, "to start 29 nodes takes 50 at least, and pids.max of /sys/fs/cgroup/unified/s is 50, of which 1 are in use"},
		"a command is more processes":   {append(idle(21), busy), 2, "takes 50"},
		"so may an image be":            {append(idle(21), image), 2, "takes 50"},
		"and is not":                    {append(idle(21), none), 2, ""},
		"more threads, more processors": {idle(1), 64, "takes 53"},
	} {
		err := enoughProcesses(tt.start, tt.cpus, limits)
		if (err != nil) != (tt.want != "") || err != nil && (!errors.Is(err, unix.EAGAIN) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if err := enoughProcesses(idle(1000), 2, processLimits(t.TempDir())); err != nil {
		t.Errorf("no limits: %v", err)
	}
	if got := userLimit("/proc/self/limits"); len(got) > 1 {
		t.Errorf("this process: %v", got)
	}
}
