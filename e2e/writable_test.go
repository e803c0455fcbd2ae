package e2e

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// What a node writes is in memory, and nothing gets that back: it may have a quarter of the machine's unless its file says so.
func TestWritableLayerIsBounded(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {a: {tmpfs: [/cache]}, b: {writable_size: 8MiB}}\n")
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			t.Fatal(err)
		}
		all := int64(info.Totalram * uint64(info.Unit))
		for _, tc := range []struct {
			node, path string
			want       int64
		}{{"a", "/", all / 4}, {"a", "/cache", all / 4}, {"a", "/dev/shm", all / 4}, {"b", "/", 8 << 20}} {
			got, err := strconv.ParseInt(r.sh(tc.node, "stat -f -c %b "+tc.path), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			page, err := strconv.ParseInt(r.sh(tc.node, "stat -f -c %S "+tc.path), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got *= page; got > tc.want || got < tc.want-tc.want/100 {
				t.Errorf("%s of %s may take %d bytes, not %d", tc.path, tc.node, got, tc.want)
			}
		}
	})
}
