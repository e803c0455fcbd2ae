package vm

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/attacks"
	"github.com/nsnet/nsnet/internal/testenv"
)

// ofNoKernel has the packages of which no test of an attack asks the kernel for anything, and why.
func ofNoKernel() map[string]string {
	return map[string]string{
		"topology":       "it reads a text",
		"cmd/nsnet":      "it prints what it is given",
		"container":      "it looks at a list of capabilities",
		"internal/rules": "it looks at the source",
	}
}

// FAULTS goal 18: the attacks of docs/security.md fail on older kernels, too. make security tries them, which takes
// emulated machines a quarter of an hour; otherwise all that is looked at is that it could.
func TestAttacks(t *testing.T) {
	rows, err := attacks.Read("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	patterns := attacks.Patterns(rows)
	maps.DeleteFunc(patterns, func(dir, _ string) bool { return ofNoKernel()[dir] != "" })
	for dir, pattern := range patterns {
		if files, err := filepath.Glob("../../" + dir + "/*_test.go"); err != nil || len(files) == 0 {
			t.Errorf("package %s has no tests: %v", dir, err)
		}
		if _, err := regexp.Compile(pattern); err != nil {
			t.Errorf("package %s: %v", dir, err)
		}
	}
	if len(patterns) < 5 {
		t.Errorf("attacks of %d packages alone", len(patterns))
	}
	if !full() {
		return
	}
	files := guestFiles(t)
	var list strings.Builder
	for _, dir := range slices.Sorted(maps.Keys(patterns)) {
		fmt.Fprintln(&list, dir, patterns[dir])
		files["/usr/share/tests/"+strings.ReplaceAll(dir, "/", "-")] = testProgram(t, "../../"+dir)
		files["/src/"+dir+"/.there"] = text(t, "")
	}
	files["/usr/share/attacks"] = text(t, list.String())
	files["/usr/share/programs/hog"], files["/usr/share/programs/probe"] = testenv.Program(t, "../testdata/hog"), testenv.Program(t, "../faults/testdata/probe")
	files["/usr/local/bin/sh"] = "/bin/dash" // that of busybox has programs of its own
	files["/src/examples/topologies/docker0.yaml"] = "../../examples/topologies/docker0.yaml"
	python, libraries := pythonFiles(t)
	maps.Copy(files, python)
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := machine(t, version, "testdata/attacks/attacks.sh")
			m.Memory, m.Files = 1280, files
			m.Programs = append(m.Programs, "bash", "bridge", "ping", "curl", "nft", "sysctl", "nsenter", "unshare", "setpriv", "mergerfs", "fusermount", "find", "tar", "ps", "pgrep", "pkill")
			m.Programs = append(m.Programs, libraries...)
			for _, r := range boot(t, m) {
				tried := regexp.MustCompile(`(?m)^(\S+) --- (PASS|FAIL|SKIP): (\w+)`).FindAllStringSubmatch(r.Output, -1)
				passed := 0
				for _, p := range tried {
					t.Logf("%s.%s: %s", p[1], p[3], p[2])
					if p[2] == "PASS" {
						passed++
					}
				}
				t.Logf("goal 18: on Linux %s %d of %d tests pass", version, passed, len(tried))
			}
		})
	}
}

// pythonFiles are Debian's python3 with what the tests' scripts import: files, and what has libraries.
func pythonFiles(t *testing.T) (files map[string]string, libraries []string) {
	t.Helper()
	const python = "/usr/bin/python3"
	testenv.Need(t, python)
	out, err := exec.CommandContext(t.Context(), python, "-Ic",
		"import argparse, contextlib, http.server, runpy, socket, struct, sys\nfor m in sys.modules.values():\n if getattr(m, '__file__', None): print(m.__file__)").Output()
	if err != nil {
		t.Fatalf("list the modules of %s: %v", python, err)
	}
	files, libraries = map[string]string{}, []string{python}
	for path := range strings.FieldsSeq(string(out)) {
		if filepath.Ext(path) == ".so" {
			libraries = append(libraries, path)
		} else {
			files[path] = path
		}
	}
	return files, libraries
}
