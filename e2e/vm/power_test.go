package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
)

// FAULTS 15, goal 9: the file system is cut off at acts of import and up, at many in one machine, and what comes next finds nothing that
// it cannot read.
func TestFault15_PowerCut(t *testing.T) {
	t.Parallel()
	godown := filepath.Join(t.TempDir(), "godown")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", godown, "./testdata/godown")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build godown: %v\n%s", err, out)
	}
	m := machine(t, "6.12", "testdata/power/cut.sh")
	m.Programs, m.Files = append(m.Programs, "mkfs.ext4"), powerFiles(t)
	m.Files["/usr/bin/godown"] = godown
	boot(t, m)
}

// FAULTS 15, goal 9: machines that are reset at an act, with all that was not on their disk, and the next boot of each.
func TestFault15_PowerCutOfAMachine(t *testing.T) {
	t.Parallel()
	cuts := 2
	if full() {
		cuts = 30
	}
	files := powerFiles(t)
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 64<<20); err != nil {
		t.Fatal(err)
	}
	// What a boot does is put together anew each time: it goes on where the one before was cut off.
	next := func(more map[string]string, cut bool, scripts ...string) (output string, ok bool) {
		for i, s := range scripts {
			scripts[i] = filepath.Join("testdata/cut", s)
		}
		m := machine(t, "6.12", scripts...)
		m.Modules, m.Programs = []string{"overlay", "veth", "bridge"}, append(m.Programs, "mkfs.ext4")
		m.Files, m.Disk, m.Cut = map[string]string{}, disk, cut
		for _, f := range []map[string]string{files, more} {
			for to, from := range f {
				m.Files[to] = from
			}
		}
		for _, r := range boot(t, m) {
			output += r.Output
		}
		return output, !t.Failed()
	}
	output, ok := next(nil, false, "trace.sh")
	if !ok {
		return
	}
	var acts []string
	for line := range strings.Lines(output) {
		if act, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "act "); ok {
			acts = append(acts, act)
		}
	}
	if len(acts) < cuts {
		t.Fatalf("no %d acts in\n%s", cuts, output)
	}
	before := ""
	for i := range cuts {
		act := acts[(2*i+1)*len(acts)/(2*cuts)] // in the middle of as many parts
		later := fmt.Sprint(i % 2 * 2)
		scripts := []string{"boot.sh", "cut.sh"}
		if before == "" {
			scripts = scripts[1:]
		}
		more := map[string]string{"/usr/share/act": text(t, act), "/usr/share/later": text(t, later), "/usr/share/before": text(t, before)}
		if _, ok := next(more, true, scripts...); !ok {
			t.Fatalf("before the power was cut at %s", act)
		}
		before = act
	}
	if _, ok := next(map[string]string{"/usr/share/before": text(t, before)}, false, "boot.sh"); ok {
		t.Logf("goal 9: a machine was reset at %d of %d acts, and all was whole at each next boot", cuts, len(acts))
	}
}

// powerFiles are what both of these tests run, an image among them.
func powerFiles(t *testing.T) map[string]string {
	t.Helper()
	testenv.Need(t, "mkfs.ext4")
	files := guestFiles(t)
	files["/usr/bin/nsnet"] = testenv.FailpointBinary(t)
	files["/usr/share/box.sh"] = "testdata/box/box.sh"
	content := append(imagetest.Busybox(t, "sh", "ls", "cat", "sleep"), imagetest.File{Name: "d/"})
	for n := range 6 {
		content = append(content, imagetest.File{Name: fmt.Sprintf("d/%d", n+1), Content: fmt.Sprintf("content%d\n", n+1), Mode: 0o644})
	}
	ref, err := name.ParseReference("local/box:1")
	if err != nil {
		t.Fatal(err)
	}
	files["/usr/share/box.tar"] = filepath.Join(t.TempDir(), "box.tar")
	if err := tarball.WriteToFile(files["/usr/share/box.tar"], ref, imagetest.Image(t, v1.Config{}, imagetest.Layer(t, content))); err != nil {
		t.Fatal(err)
	}
	return files
}
