package testenv

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/sandbox"
)

// Isolate runs f in a process of its own, in new network, mount, PID, IPC and UTS namespaces, and
// fails when f fails or leaves anything behind. It needs root, and Main as TestMain. Its
// output appears in t's log; when f skips, t skips.
func Isolate(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	IsolateLabs(t, nil, f)
}

// IsolateLabs is Isolate for a test that uses labs by these names besides those of LabName,
// so that their control groups are looked for, too. Such a test is not parallel to another
// one of the same machine that uses the same names.
func IsolateLabs(t *testing.T, labs []string, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv(envRole) == roleTest {
		CheckLeaks(t, labs...)
		f(t)
		return
	}
	Root(t)
	if os.Getenv(envDir) == "" {
		t.Fatal("TestMain of this package does not call testenv.Main")
	}
	token := make([]byte, 4)
	_, _ = rand.Read(token)
	prefix := "t" + hex.EncodeToString(token)
	defer func() {
		if err := removeCgroups(append([]string{prefix}, labs...)); err != nil {
			t.Errorf("clean up control groups: %v", err)
		}
	}()
	runIsolated(t, prefix)
}

// runIsolated starts the supervisor and judges what it did.
func runIsolated(t *testing.T, token string) {
	t.Helper()
	cmd, err := sandbox.Command(t.Context(), childArgs(t)...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), envRole+"="+roleSupervise, envToken+"="+token,
		// With the race detector each process would sleep for a second at its end.
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(&out, t.Output())
	cmd.Stderr = cmd.Stdout
	err = cmd.Run()
	switch verdict := verdictOf(out.String(), t.Name()); {
	case err != nil:
		t.Fatalf("isolated test: %v", err)
	case verdict == "SKIP":
		t.Skip("skipped in its namespaces")
	case verdict != "PASS":
		t.Fatal("isolated test did not run")
	}
}

// childArgs makes the test binary run t alone.
func childArgs(t *testing.T) []string {
	args := []string{"-test.run=" + runPattern(t.Name()), "-test.v", "-test.count=1"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	if deadline, ok := t.Deadline(); ok {
		// Earlier than the parent's, so that the child's stack dump is seen.
		left := max(time.Until(deadline)-5*time.Second, time.Second)
		args = append(args, fmt.Sprintf("-test.timeout=%s", left))
	}
	return args
}

// runPattern is a -test.run pattern that matches the test of this name and no other.
func runPattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// verdictOf finds the result of a test in the output of go test -v: PASS, FAIL, SKIP or nothing.
func verdictOf(output, name string) string {
	for line := range strings.Lines(output) {
		verdict, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "--- "), ": ")
		if !ok {
			continue
		}
		if got, _, ok := strings.Cut(rest, " ("); ok && got == name {
			return verdict
		}
	}
	return ""
}
