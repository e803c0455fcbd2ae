package e2e

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// What an overlay writes no other union does, of whatever driver and lab; several unions of mergerfs may share a directory.
func TestUnionsThatWriteOneDirectory(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "mergerfs")
		dir := garden(t)
		testenv.MustCommand(t, "ln", "-s", "fruits", dir+"/alias")
		file := func(name, union string) string {
			return writeFile(t, dir, name, "nodes: {n: {unions: ["+union+"]}}\n")
		}
		overlay := file("overlay.yaml", classicUnion)
		fuse := file("fuse.yaml", `{path: /u, layers: ["./vegetables:rw", "./alias:rw"]}`)
		one, other := testenv.LabName(t), testenv.LabName(t)+"x"
		for _, c := range []struct{ first, second, holder string }{
			{overlay, fuse, one + "/n: /mnt/u"},
			{fuse, overlay, one + "/n: /u"},
		} {
			testenv.Must(t, "up", "--name", one, c.first)
			before := listed(t, dir)
			for _, command := range []string{"plan", "up"} {
				got := testenv.Run(t, command, "--name", other, c.second)
				if got.Code != 5 || !strings.Contains(got.Stderr, "conflict: it is written by "+c.holder+", and one union at a time can do that") {
					t.Errorf("%s: exit code %d, %s", command, got.Code, got.Stderr)
				}
			}
			// Another /run has no record that names the holder of mergerfs.
			got := testenv.Command(t, "unshare", "-m", "sh", "-c", `mount -t tmpfs n /run && exec "$0" up "$1" --name "$2"`, testenv.Binary(t), c.second, other)
			if got.Code != 5 || !strings.Contains(got.Stderr, "conflict: it is written by ") {
				t.Errorf("of another /run: %+v", got)
			}
			if got := listed(t, dir); got != before {
				t.Errorf("after what was refused there are %s", got)
			}
			// The lab itself goes from one to the other, and back.
			testenv.Must(t, "up", "--replace", "--name", one, c.second)
			testenv.Must(t, "up", "--replace", "--name", one, c.first)
			testenv.Must(t, "down", one)
			testenv.Must(t, "up", "--name", other, c.second)
			testenv.Must(t, "down", other)
		}
		testenv.Must(t, "up", "--name", one, fuse)
		testenv.Must(t, "up", "--name", other, fuse)
		testenv.Must(t, "down", one)
		testenv.Must(t, "down", other)
	})
}
