package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A union that writes a directory has a work directory beside it, which is gone whatever fails and whoever is killed when.
func TestClassicUnionBrokenOff(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		r := define(t, "name: NAME\nnodes: {a: {unions: [{path: /u, layers: [\"./fruits:rw\", \"./vegetables\"]}]}}\n")
		dir := filepath.Dir(r.file)
		for _, d := range []string{"fruits", "vegetables"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		writeFile(t, filepath.Join(dir, "vegetables/carrots"), "carrot")
		beside := filepath.Join(dir, ".fruits.nsnet")
		const trace = "/run/trace" // which the lab init's user can reach
		gone := func(when string) {
			t.Helper()
			if _, err := os.Lstat(beside); !os.IsNotExist(err) {
				t.Errorf("%s: the work directory is left", when)
			}
			nothingLeft(t, before, when)
			if b, err := os.ReadFile(filepath.Join(dir, "vegetables/carrots")); err != nil || string(b) != "carrot" {
				t.Errorf("%s: vegetables have %q", when, b)
			}
		}
		if got := failing(t, "NSNET_TRACE="+trace, []string{"up", r.file}); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		all, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		remove(t, trace)
		testenv.Must(t, "down", r.name)
		gone("untouched")
		// The acts from the work directory on, until the node has its mounts.
		var acts []string
		times := map[string]int{}
		for line := range strings.Lines(string(all)) {
			line = strings.TrimSpace(line)
			times[line]++ // the layers were looked at before
			if len(acts) > 0 || strings.HasPrefix(line, "mkdir work ") {
				acts = append(acts, fmt.Sprintf("%s:%d", line, times[line]))
			}
			if len(acts) > 0 && strings.HasPrefix(line, "lab init: ") || len(acts) > 12 {
				break
			}
		}
		if len(acts) < 5 {
			t.Fatalf("acts are %q in\n%s", acts, all)
		}
		for _, act := range acts {
			got := failing(t, "NSNET_FAIL="+act+"=kill", []string{"up", r.file})
			if got.Code != 137 && !strings.HasPrefix(act, "lab init: ") {
				t.Errorf("killed at %s: exit code %d, %s", act, got.Code, got.Stderr)
			}
			testenv.Must(t, "down", r.name)
			gone("killed at " + act)
			if strings.HasPrefix(act, "lab init: ") {
				continue
			}
			got = failing(t, "NSNET_FAIL="+act+"=error(ENOSPC)", []string{"up", r.file})
			if got.Code != 1 || !strings.Contains(got.Stderr, "no space left on device") || !strings.Contains(got.Stderr, "; ") {
				t.Errorf("ENOSPC at %s: exit code %d, %s", act, got.Code, got.Stderr)
			}
			gone("ENOSPC at " + act)
		}
		// down itself is killed, and fails; the next one finishes.
		for fail, code := range map[string]int{"remove work " + beside + "=kill": 137, "remove work " + beside + "=error(EPERM)": 1} {
			testenv.Must(t, "up", r.file)
			if got := failing(t, "NSNET_FAIL="+fail, []string{"down", r.name}); got.Code != code || code == 1 && !strings.Contains(got.Stderr, beside) {
				t.Errorf("%s: exit code %d, %s", fail, got.Code, got.Stderr)
			}
			testenv.Must(t, "down", r.name)
			gone(fail)
		}
	})
}
