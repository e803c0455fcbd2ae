package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A command of exec is over before most of nsnet is initialised. What exec cannot do as early it does late, with the same
// result.
func TestExecIsEarly(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {web: {}, idle: {}}")
		for _, c := range []struct {
			args   []string
			early  bool
			code   int
			stdout string
			stderr string
		}{
			{args: []string{r.name + "/web", "--", "echo", "a"}, early: true, stdout: "a\n"},
			{args: []string{"web", "echo", "a"}, early: true, stdout: "a\n"},
			{args: []string{"-i", "-e", "A=1", "-e", "NSNET_TEST", "-w", "/tmp", "-u", "nobody", "web", "sh", "-c", "cat; echo $A $NSNET_TEST; pwd; id -un"}, early: true, stdout: "typed1 given\n/tmp\nnobody\n"},
			{args: []string{"web", "sh", "-c", "echo e >&2; exit 3"}, early: true, code: 3, stderr: "e\n"},
			{args: []string{"web", "sh", "-c", "kill -TERM $$"}, early: true, code: 143},
			{args: []string{"web", "sh", "-c", "kill -KILL $$"}, code: 137}, // perhaps for want of memory
			{args: []string{"--env=A=1", "web", "sh", "-c", "echo $A"}, stdout: "1\n"},
			{args: []string{"web", "nosuch"}, code: 127, stderr: "nosuch: command not found"},
			{args: []string{"-u", "nosuch", "web", "true"}, code: 126, stderr: "nosuch"},
			{args: []string{"nosuch", "true"}, code: 125, stderr: "not found"},
			{args: []string{"nosuch/web", "true"}, code: 125, stderr: "not found"},
			{args: []string{r.name + "/nosuch", "true"}, code: 125, stderr: "nsnet ps " + r.name},
			{args: []string{"web"}, code: 125, stderr: "CMD is missing"},
			{args: []string{"-w", "tmp", "web", "true"}, code: 125, stderr: "not an absolute path"},
			{args: []string{"--help"}, stdout: "Usage:"},
		} {
			cmd := exec.Command(testenv.Binary(t), append([]string{"exec"}, c.args...)...)
			cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1", "NSNET_TEST=given")
			cmd.Stdin = strings.NewReader("typed")
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("%q: exit code %d, printed %q, said %s", c.args, got, stdout.String(), stderr.String())
			}
			for _, late := range []string{"net", "go.yaml.in/yaml/v4", "github.com/spf13/cobra"} {
				if got := strings.Contains(stderr.String(), "\ninit "+late+" @"); got == c.early {
					t.Errorf("%q: %s is initialised: %v", c.args, late, got)
				}
			}
		}
		// A name that two labs have, and one that a dead lab has, too: that is removed by then, as by any command.
		other := startAs(t, r.name+"b", writeFile(t, t.TempDir(), "lab.yaml", "nodes: {web: {}, idle: {}}"))
		if got := testenv.Run(t, "exec", "web", "true"); got.Code != 125 || !strings.Contains(got.Stderr, "each have one") {
			t.Errorf("a node that two labs have: %+v", got)
		}
		testenv.Must(t, "exec", other.name+"/web", "true")
		init, err := os.FindProcess(other.status().InitPID)
		if err == nil {
			err = init.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 10*time.Second, "one lab alone has the node", func() bool { return testenv.Run(t, "exec", "web", "true").Code == 0 })
		testenv.Must(t, "exec", "web", "true")
		if _, err := os.Stat("/run/nsnet/" + other.name); !os.IsNotExist(err) {
			t.Errorf("after exec the dead lab is still there: %v", err)
		}
	})
}
