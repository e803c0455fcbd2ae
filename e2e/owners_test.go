package e2e

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/testenv"
)

// What a node uses up is counted for who has made its user namespace: an id of the node's own, and of the lab's the lab's own. Who has that id in
// the namespace above may do anything to it. So no node has it, nor has any process.
func TestOwnersOfNamespaces(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		seen := map[int]string{}
		for _, more := range []string{"", "  p: {privileged: true}\n"} {
			r := startText(t, "nodes:\n  a: {}\n  b: {}\n"+more)
			owners := map[string]int{}
			for _, n := range []string{"a", "b"} {
				owners["node "+n] = ownerOf(t, r.node(n).PID, 0)
				if more == "" {
					owners["the lab of "+n] = ownerOf(t, r.node(n).PID, 1)
				}
			}
			if more == "" && owners["the lab of a"] == owners["the lab of b"] {
				delete(owners, "the lab of b") // it is one lab
			}
			for whose, id := range owners {
				if id < 0x70000000 {
					t.Errorf("%s is counted for id %d, which is not nsnet's", whose, id)
				}
				if seen[id] != "" {
					t.Errorf("%s and %s are counted for the same id, %d", whose, seen[id], id)
				}
				seen[id] = whose
				for _, n := range []string{"a", "b"} {
					first, count := mapped(t, r.node(n).PID)
					if id >= first && id < first+count {
						t.Errorf("%s is counted for id %d, which node %s has: its ids are %d from %d on", whose, id, n, count, first)
					}
				}
			}
		}
		processes, err := os.ReadDir("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range processes {
			var st unix.Stat_t
			if unix.Stat("/proc/"+p.Name(), &st) == nil && seen[int(st.Uid)] != "" {
				t.Errorf("process %s has the id that %s is counted for", p.Name(), seen[int(st.Uid)])
			}
		}
	})
}

// ownerOf returns who has made a process's user namespace, or one so many above it. ioctl_ns(2).
func ownerOf(t *testing.T, pid, above int) int {
	t.Helper()
	const getParent, getOwner = 0xb702, 0xb704 // NS_GET_PARENT, NS_GET_OWNER_UID
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	for range above {
		if fd, err = unix.IoctlRetInt(fd, getParent); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	id, err := unix.IoctlGetInt(fd, getOwner)
	if err != nil {
		t.Fatal(err)
	}
	return int(uint32(id))
}

// mapped returns the first of a node's ids on the host, and how many they are. user_namespaces(7).
func mapped(t *testing.T, pid int) (first, count int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		t.Fatal(err)
	}
	var inside int
	if n, err := fmt.Sscan(string(b), &inside, &first, &count); n != 3 || err != nil || inside != 0 || count != container.IDs {
		t.Fatalf("ids of process %d: %q", pid, b)
	}
	return first, count
}
