package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A command that is to take a running one's place, and could not start, is refused with the old one left running and nothing changed.
func TestNewCommandThatCannotStart(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"crlf": "#!/bin/sh\r\n", "text": "exit 0\n"} {
			writeFile(t, dir, file, text)
			if err := os.Chmod(dir+"/"+file, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		file := func(command, other, more string) string {
			t.Helper()
			return writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes:\n  n: {binds: ['"+dir+":/b'], command: "+command+more+"}\n  other: {command: "+other+"}\n")
		}
		for _, policy := range []string{"", ", restart: on-failure", ", restart: always"} {
			up := func(command, other, more string) testenv.Result {
				t.Helper()
				return testenv.Run(t, "up", file(command, other, policy+more))
			}
			if got := up("[sleep, infinity]", "[sleep, '4241']", ""); got.Code != 0 {
				t.Fatalf("%+v", got)
			}
			r := run{t, name}
			before := r.node("n").CommandPID
			other := r.node("other").CommandPID
			for _, k := range []struct {
				command, more string
				code          int
				want          string
			}{
				{"[slep, infinity]", "", 127, "node n: run slep: command not found"},
				{"[/b/missing]", "", 127, "/b/missing"},
				{"[/b]", "", 126, "permission denied"},
				{"[/b/crlf]", "", 126, "Windows line ends"},
				{"[echo, '" + strings.Repeat("x", 1<<17) + "']", "", 126, "argument 1 has 131072 bytes"},
				{"[sleep, '4243']", ", workdir: /none", 126, "in /none"},
				{"[sleep, '4243']", ", user: nobody-of-that-name", 126, "nobody-of-that-name"},
			} {
				got := up(k.command, "[sleep, '4242']", k.more)
				if got.Code != k.code || !strings.Contains(got.Stderr, k.want) || strings.Contains(got.Stdout, "~") {
					t.Errorf("policy %q, %.99s: %+v", policy, k.command+k.more, got)
				}
				if r.node("n").CommandPID != before || r.node("n").State != "running" || r.node("other").CommandPID != other {
					t.Fatalf("policy %q, %.99s: the commands do not run on: %+v", policy, k.command+k.more, r.status())
				}
			}
			if got := up("[sleep, infinity]", "[sleep, '4241']", ""); got.Code != 0 || !strings.Contains(got.Stdout, "nothing to do") {
				t.Errorf("policy %q: something was changed: %+v", policy, got)
			}

			// That the kernel does not run it only the start shows.
			for range 2 {
				if got := up("[/b/text]", "[sleep, '4241']", ""); got.Code != 126 || !strings.Contains(got.Stderr, "of 1 change 0 are made") {
					t.Errorf("policy %q: one that only its start shows to be none: %+v", policy, got)
				}
			}
			if got := up("[sleep, infinity]", "[sleep, '4241']", ""); got.Code != 0 || r.node("n").State != "running" {
				t.Errorf("policy %q: the old command again: %+v", policy, got)
			}
			testenv.Must(t, "down", name)
		}
	})
}

// What a change binds anew may be what the new command is.
func TestNewCommandOfFileBoundAnew(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir, name := t.TempDir(), testenv.LabName(t)
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		put := func(text string) {
			t.Helper()
			writeFile(t, dir, "new", text)
			if err := os.Chmod(dir+"/new", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(dir+"/new", dir+"/tool"); err != nil {
				t.Fatal(err)
			}
		}
		up := func(command string) testenv.Result {
			t.Helper()
			return testenv.Run(t, "up", writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes:\n  n: {binds: ['"+dir+"/tool:/tool'], command: "+command+"}\n"))
		}
		put("#!/no/such/shell\n")
		if got := up("[sleep, infinity]"); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		defer testenv.Must(t, "down", name)
		put("#!/bin/sh\nexec sleep 4242\n")
		if got := up("[/tool]"); got.Code != 0 {
			t.Errorf("%+v", got)
		}
		r := run{t, name}
		before := r.node("n").CommandPID
		put("#!/no/such/other\n")
		if got := up("[/tool, again]"); got.Code != 126 || !strings.Contains(got.Stderr, "/no/such/other") || r.node("n").CommandPID != before {
			t.Errorf("%+v, and the command was %d and is %d", got, before, r.node("n").CommandPID)
		}
		// The file is bound by now, which is no matter of the command's: what is told of that is what runs.
		if got := r.node("n").Command; !slices.Equal(got, []string{"/tool"}) {
			t.Errorf("it is said to run %q", got)
		}
		if got := testenv.Run(t, "plan", dir+"/lab.yaml"); got.Code != 126 || !strings.Contains(got.Stderr, "/no/such/other") {
			t.Errorf("what up would be refused: %+v", got)
		}
		// A restart ends no command that could not be started again.
		for _, of := range []string{name, name + "/n"} {
			if got := testenv.Run(t, "restart", of); got.Code != 126 || !strings.Contains(got.Stderr, "/no/such/other") || r.node("n").CommandPID != before {
				t.Errorf("restart of %s: %+v, and the command was %d and is %d", of, got, before, r.node("n").CommandPID)
			}
		}
		put("#!/bin/sh\nexec sleep 4243\n")
		testenv.Must(t, "restart", name)
		if now := r.node("n"); now.CommandPID == before || now.State != "running" || !slices.Equal(now.Command, []string{"/tool"}) {
			t.Errorf("after a restart: %+v", now)
		}
	})
}
