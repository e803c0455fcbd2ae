package failpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// What users get has no trace of failpoints: neither the variables' names nor a function of this package is in it.
func TestReleasedBinaryHasNone(t *testing.T) {
	t.Parallel()
	if Enabled {
		t.Fatal("this test is for the package as it is released")
	}
	for path, want := range map[string]bool{testenv.Binary(t): false, testenv.FailpointBinary(t): true} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"NSNET_FAIL", "NSNET_TRACE", "internal/failpoint.Errno", "internal/failpoint/on.go"} {
			if got := bytes.Contains(b, []byte(s)); got != want {
				t.Errorf("%s in %s: %v", s, filepath.Base(path), got)
			}
		}
	}
}

// Hit compiles to nothing: not even a call that allocates.
func TestHitIsFree(t *testing.T) {
	name := t.Name()
	if n := testing.AllocsPerRun(100, func() {
		if err := Hit("mount", name); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if Environ("x") != nil {
		t.Error("an environment for processes that know nothing of it")
	}
}

// What is wrong in the variables is told: a test that was not done is no test.
func TestWrongVariables(t *testing.T) {
	t.Parallel()
	bin := testenv.FailpointBinary(t)
	for variable, want := range map[string]string{"NSNET_FAIL=mount=die": "no action", "NSNET_TRACE=/no/such/dir/x": "no such file"} {
		r := testenv.Command(t, "env", variable, bin, "version")
		if r.Code != 2 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%s: exit code %d, %q", variable, r.Code, r.Stderr)
		}
	}
}
