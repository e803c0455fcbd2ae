package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

// The ids of a node's binds are its own, the same for all that is beneath the file's directory.
func TestIDsOfBinds(t *testing.T) {
	t.Parallel()
	dir := "/labs" // need not be there
	key := bytes.Repeat([]byte{7}, keySize)
	beneath := func(path string) topology.HostPath {
		return topology.HostPath{Real: filepath.Join(dir, path), Beneath: path}
	}
	a := idsOf(key, beneath("db"), "a")
	if a < firstBindID || a%container.IDs != 0 || a > 1<<32-2*container.IDs {
		t.Errorf("they begin with %#x", a)
	}
	for _, same := range []topology.HostPath{beneath("db"), beneath("other/deep"), {Real: dir, Beneath: "."}} {
		if got := idsOf(key, same, "a"); got != a {
			t.Errorf("%+v: %#x and not %#x", same, got, a)
		}
	}
	others := map[uint32]string{a: "a"}
	for what, got := range map[string]uint32{
		"another node":      idsOf(key, beneath("db"), "b"),
		"elsewhere":         idsOf(key, topology.HostPath{Real: dir + "/db"}, "a"),
		"another directory": idsOf(key, topology.HostPath{Real: "/other", Beneath: "."}, "a"),
		"another machine":   idsOf(bytes.Repeat([]byte{8}, keySize), beneath("db"), "a"),
	} {
		if got == a || others[got] != "" {
			t.Errorf("%s has the ids of %s", what, others[got])
		}
		others[got] = what
	}
	if os.Geteuid() == 0 {
		dir = t.TempDir()
		before := idsOf(key, beneath("db"), "a")
		if err := os.Chown(dir, 4711, 0); err != nil {
			t.Fatal(err)
		}
		if got := idsOf(key, beneath("db"), "a"); got == before {
			t.Error("a directory of another owner has the same ids")
		}
	}
	for _, disk := range []uint32{firstBindID, a, firstBindID + (bindRanges-1)*container.IDs} {
		var inside, outside uint64
		for _, m := range bindMap(disk, firstNodeID+5*container.IDs) {
			if m.Size < 0 || m.ContainerID+m.Size > 1<<32-1 || uint64(m.ContainerID) < inside {
				t.Errorf("from %#x on: %+v", disk, m)
			}
			inside = uint64(m.ContainerID + m.Size)
			if m.HostID != m.ContainerID {
				outside = uint64(m.HostID)
			}
		}
		if outside != firstNodeID+5*container.IDs {
			t.Errorf("the node's are %#x", outside)
		}
	}
}

// Whoever comes first makes the machine's key. One that is damaged is told of: with another one nodes would not have what they wrote.
func TestBindKey(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		keys := make([][]byte, 20)
		var all sync.WaitGroup
		for i := range keys {
			all.Go(func() {
				var err error
				if keys[i], err = bindKey(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, k := range keys {
			if len(k) != keySize || !bytes.Equal(k, keys[0]) {
				t.Errorf("%x beside %x", k, keys[0])
			}
		}
		if files, err := os.ReadDir(IDsDir); err != nil || len(files) != 1 {
			t.Errorf("%v, error %v", files, err)
		}
		name := filepath.Join(IDsDir, keyFile)
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%v, error %v", st, err)
		}
		if err := os.Truncate(name, 5); err != nil {
			t.Fatal(err)
		}
		if _, err := bindKey(); err == nil || !strings.Contains(err.Error(), name+" is damaged") {
			t.Errorf("error %v", err)
		}
	})
}
