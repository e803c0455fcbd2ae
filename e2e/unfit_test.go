package e2e

import (
	"debug/elf"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// A command that cannot be executed is told by whatever is to start it, the first up included, of which nothing is left then.
func TestCommandsThatCannotBeExecuted(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		program, err := os.ReadFile("/bin/ls")
		if err != nil {
			t.Fatal(err)
		}
		foreign := []byte(string(program))
		foreign[18] = byte(elf.EM_S390)
		for name, text := range map[string]string{
			"crlf": "#!/bin/sh\r\nexit 0\r\n", "nowhere": "#!/no/such/shell\n", "text": "exit 0\n", "foreign": string(foreign),
			"unlinked": strings.Replace(string(program), "/lib", "/bil", 1), "closed": "#!/bin/sh\n",
		} {
			if err := os.WriteFile(writeFile(t, dir, name, text), []byte(text), 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir+"/"+name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir+"/closed", 0o700); err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("x", 1<<21)
		r := startText(t, "nodes: {n: {binds: ['"+dir+":/b']}, other: {command: [sleep, infinity]}}")
		for _, k := range []struct {
			name, command, more string
			code                int
			want                string
		}{
			{"Windows line ends", "/b/crlf", "", 126, `/b/crlf: its interpreter /bin/sh\r does not exist (the file has Windows line ends)`},
			{"no such interpreter", "/b/nowhere", "", 126, "/b/nowhere: its interpreter /no/such/shell does not exist"},
			{"no such linker", "/b/unlinked", "", 126, "/b/unlinked: its dynamic linker /bil"},
			{"text", "/b/text", "", 126, "exec format error"},
			{"another machine", "/b/foreign", "", 126, "exec format error"},
			{"directory", "/b", "", 126, "permission denied"},
			{"no program of the user", "/b/closed", "nobody", 126, "permission denied"},
			{"long argument", "echo " + long, "", 126, "argument 1 has 2097152 bytes"},
			{"missing", "/b/missing", "", 127, "command not found"},
		} {
			t.Run(k.name, func(t *testing.T) {
				argv := strings.Fields(k.command)
				user := ""
				if k.more != "" {
					user = ", user: " + k.more
				}
				name := testenv.LabName(t)
				file := writeFile(t, t.TempDir(), "lab.yaml", "name: "+name+"\nnodes: {n: {binds: ['"+dir+":/b'], command: ['"+strings.Join(argv, "', '")+"']"+user+"}}\n")
				told := func(by string, got testenv.Result) {
					t.Helper()
					if got.Code != k.code || !strings.Contains(got.Stderr, k.want) {
						t.Errorf("%s: exit code %d, want %d: %.500s", by, got.Code, k.code, got.Stderr)
					}
				}
				told("up", testenv.Run(t, "up", file))
				if ps := testenv.Must(t, "ps", "--json"); strings.Contains(ps, name) {
					t.Errorf("the lab is there: %s", ps)
				}
				if len(k.command) > 1<<17 {
					return // execve refuses it to this test, too
				}
				told("exec", testenv.Run(t, append([]string{"exec", "--user", k.more, r.name + "/n", "--"}, argv...)...))
			})
		}
	})
}

// A command of a node that waits for another is looked at before anything is started, and one of a node that is added to a lab is told.
func TestLaterCommandsThatCannotBeExecuted(t *testing.T) {
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
		first := "name: " + name + "\nnodes:\n  a: {command: [sleep, infinity]}\n"
		up := func(nodes string) testenv.Result {
			t.Helper()
			return testenv.Run(t, "up", writeFile(t, dir, "lab.yaml", first+nodes))
		}
		bind := "binds: ['" + dir + ":/b']"
		if got := up("  b: {command: [/b/crlf], depends_on: [a], " + bind + "}\n"); got.Code != 126 || !strings.Contains(got.Stderr, "node b: ") {
			t.Errorf("one that waits: %+v", got)
		}
		if got := up(""); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		defer testenv.Must(t, "down", name)
		for _, command := range []string{"crlf", "text"} {
			if got := up("  b: {command: [/b/" + command + "], " + bind + "}\n"); got.Code != 126 || !strings.Contains(got.Stderr, "node b: ") {
				t.Errorf("one that is added, %s: %+v", command, got)
			}
		}
		if got := up("  c: {command: [/b/text], restart: always, " + bind + "}\n"); got.Code != 126 {
			t.Errorf("one that is to be tried again: %+v", got)
		}
		if got := up("  b: {ready: {exec: [/b/crlf], interval: 50ms, start_period: 200ms, retries: 1}, " + bind + "}\n"); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		if got := testenv.Run(t, "up", "--wait", dir+"/lab.yaml"); got.Code != 11 || !strings.Contains(got.Stderr, "(the file has Windows line ends)") || strings.Contains(got.Stderr, syscall.ELIBACC.Error()) {
			t.Errorf("a check: %+v", got)
		}
	})
}

// A working directory is entered before the user is changed, as Docker does, and ids that a node has not are told as that.
func TestUserOfACommand(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		passwd := writeFile(t, dir, "passwd", "root:x:0:0::/root:/bin/sh\nbig:x:100000:0::/:/bin/sh\n")
		name := testenv.LabName(t)
		up := func(node string) testenv.Result {
			t.Helper()
			return testenv.Run(t, "up", writeFile(t, dir, "lab.yaml", "name: "+name+"\nnodes: {n: {binds: ['"+passwd+":/etc/passwd'], tmpfs: ['/closed:mode=0700'], "+node+"}}\n"))
		}
		const want = "ids end at 65535"
		if got := up("command: [sleep, infinity], user: big"); got.Code != 126 || !strings.Contains(got.Stderr, want) {
			t.Errorf("an id of the node's passwd: %+v", got)
		}
		for _, user := range []string{"100000", "0:65536"} {
			if got := up("command: [sleep, infinity], user: '" + user + "'"); got.Code != 3 || !strings.Contains(got.Stderr, "lab.yaml:2:") {
				t.Errorf("user %s: %+v", user, got)
			}
		}
		if got := up("command: [sh, -c, 'id -u; pwd; sleep infinity'], user: '4711', workdir: /closed"); got.Code != 0 {
			t.Fatalf("%+v", got)
		}
		defer testenv.Must(t, "down", name)
		for _, user := range []string{"100000", "0:65536", "big"} {
			if got := testenv.Run(t, "exec", "--user", user, name+"/n", "--", "true"); got.Code != 126 || !strings.Contains(got.Stderr, want) {
				t.Errorf("exec as %s: %+v", user, got)
			}
		}
		for _, flag := range []string{"--user=nobody-of-that-name", "--user=0:no-such-group", "--workdir=/none", "--workdir=/etc/passwd"} {
			if got := testenv.Run(t, "exec", flag, name+"/n", "--", "true"); got.Code != 126 || !strings.Contains(got.Stderr, "; name a ") && !strings.Contains(got.Stderr, "or name a ") {
				t.Errorf("exec %s: %+v", flag, got)
			}
		}
		if got := testenv.Must(t, "exec", "--user", "4711", "--workdir", "/closed", name+"/n", "--", "sh", "-c", "id -u; pwd"); got != "4711\n/closed\n" {
			t.Errorf("a command in a directory that is closed to it: %q", got)
		}
	})
}
