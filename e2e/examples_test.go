package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

const examplesDir = "../examples/topologies"

// exampleChecks names for each example what is true of its lab.
func exampleChecks() map[string]func(*testing.T, run) {
	return map[string]func(*testing.T, run){
		"demo":       checkDemo,
		"docker0":    checkDocker0,
		"hostname":   checkHostname,
		"ipc":        checkIPC,
		"leaf-spine": checkLeafSpine,
		"limits":     checkLimits,
		"mount":      checkMount,
		"pair":       checkPair,
		"pid":        checkPID,
		"routers":    checkRouters,
		"star":       checkStar,
		"union":      checkUnion,
		"user":       checkUser,
	}
}

func exampleFiles(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(examplesDir, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("find examples: %v, %d files", err, len(paths))
	}
	files := map[string]string{}
	for _, path := range paths {
		files[strings.TrimSuffix(filepath.Base(path), ".yaml")] = path
	}
	return files
}

func TestEveryExampleHasItsCheck(t *testing.T) {
	t.Parallel()
	files, checks := exampleFiles(t), exampleChecks()
	for name, path := range files {
		if checks[name] == nil {
			t.Errorf("%s is not tested: add it to exampleChecks", path)
		}
	}
	for name := range checks {
		if files[name] == "" {
			t.Errorf("example %s has a check and no file", name)
		}
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	files := exampleFiles(t)
	for name, check := range exampleChecks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				if name == "leaf-spine" {
					needFRR(t)
				}
				file := files[name]
				if name == "union" {
					file = copyOfUnion(t)
				}
				check(t, start(t, file))
			})
		})
	}
}
