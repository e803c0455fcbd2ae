package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/doctor"
	"github.com/nsnet/nsnet/internal/testenv"
)

// On a machine where labs work the doctor brings one up, finds no problem, and leaves nothing.
func TestDoctor(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		var found []doctor.Finding
		if err := json.Unmarshal([]byte(testenv.Must(t, "doctor", "--json")), &found); err != nil {
			t.Fatal(err)
		}
		status := func(check string) doctor.Status {
			i := slices.IndexFunc(found, func(f doctor.Finding) bool { return f.Check == check })
			if i < 0 {
				t.Fatalf("nothing of %s in %+v", check, found)
			}
			return found[i].Status
		}
		for _, check := range []string{"root", "namespaces", "lab", "kernel: veth", "kernel: bridge"} {
			if got := status(check); got != doctor.Good {
				t.Errorf("%s: %s", check, got)
			}
		}
		text := testenv.Must(t, "doctor", "--all")
		if !strings.Contains(text, "0 problems, ") || strings.Count(text, "\n") < len(found) {
			t.Errorf("the text is\n%s", text)
		}
	})
}

// What keeps labs from working is a problem, and an exit code.
func TestDoctorFindsProblems(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		res := testenv.Command(t, "unshare", "--user", "--map-root-user", testenv.Binary(t), "doctor")
		if res.Code != 1 || !strings.Contains(res.Stdout, "problem  root: this is root of a user namespace") {
			t.Errorf("exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
}

// A file's nodes whose programs need more than the nodes have are named, with what to give them; a file that is none is told
// before anything is tried.
func TestDoctorOfFile(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		file := writeFile(t, t.TempDir(), "routers.yaml", `
name: routers
nodes:
  good: {command: [/usr/lib/frr/frrinit.sh, start], caps: [SYS_ADMIN]}
  bad: {command: [/usr/lib/frr/frrinit.sh, start]}
  clock: {command: "exec ptp4l -i eth0"}
`)
		got := testenv.Must(t, "doctor", file)
		for _, part := range []string{"note     node bad: frrinit.sh of FRR: zebra", "give the node caps: [SYS_ADMIN]", "note     node clock: ptp4l "} {
			if !strings.Contains(got, part) {
				t.Errorf("no %q in\n%s", part, got)
			}
		}
		if strings.Contains(got, "node good") {
			t.Errorf("a node that has all is told of:\n%s", got)
		}
		res := testenv.Run(t, "doctor", file+"x")
		if res.Code != testenv.Run(t, "validate", file+"x").Code || res.Stdout != "" {
			t.Errorf("a file that is not there: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
}
