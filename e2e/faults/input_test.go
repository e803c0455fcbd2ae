package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// What is wrong in a file is said with its place, and nothing is changed.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		const links = "nodes: {a: {}, b: {}}\nbridges: {lan0: {subnet: 10.5.0.0/24}}\nlinks:\n"
		for _, tt := range []struct {
			name, text string
			want       []string
		}{
			{"unknown key", "nodes:\n  a: {comand: [ls]}\n", []string{"lab.yaml:3:7: ", "comand", `did you mean "command"?`}},
			{"wrong type", "nodes:\n  a: {limits: {pids: many}}\n", []string{"lab.yaml:3:22: ", "pids must be a whole number"}},
			{"not a mapping", "nodes: 7\n", []string{"lab.yaml:2:8: ", "nodes"}},
			{"unknown node", links + "  - endpoints: [\"c:eth0\", lan0]\n", []string{"lab.yaml:5:17: ", `"c"`}},
			{"unknown bridge", links + "  - endpoints: [\"a:eth0\", lan1]\n", []string{"lab.yaml:5:27: ", `did you mean "lan0"?`}},
			{"same interface twice", links + "  - endpoints: [\"a:eth0\", lan0]\n  - endpoints: [\"a:eth0\", lan0]\n", []string{"lab.yaml:6:17: ", "eth0"}},
			{"address outside its subnet", links + "  - {endpoints: [\"a:eth0\", lan0], address: 10.6.0.9/24}\n", []string{"lab.yaml:5:", "10.6.0.9/24", "10.5.0.0/24"}},
			{"duplicate address", links + "  - {endpoints: [\"a:eth0\", lan0], address: 10.5.0.9/24}\n  - {endpoints: [\"b:eth0\", lan0], address: 10.5.0.9/24}\n", []string{"lab.yaml:6:", "10.5.0.9"}},
			{"duplicate MAC", links + "  - {endpoints: [{node: a, interface: eth0, mac: \"02:00:00:00:00:07\"}, lan0]}\n  - {endpoints: [{node: b, interface: eth0, mac: \"02:00:00:00:00:07\"}, lan0]}\n", []string{"lab.yaml:6:", "02:00:00:00:00:07"}},
			{"interface name of 16 bytes", links + "  - endpoints: [\"a:interface0123456\", lan0]\n", []string{"lab.yaml:5:17: ", "15"}},
			{"interface all", links + "  - endpoints: [\"a:all\", lan0]\n", []string{"lab.yaml:5:17: ", "all"}},
			{"interface %d", links + "  - endpoints: [\"a:eth%d\", lan0]\n", []string{"lab.yaml:5:17: ", "eth%d"}},
			{"missing file behind a bind", "nodes:\n  a: {binds: [\"./nothing:/mnt\"]}\n", []string{"lab.yaml:3:15: ", "nothing"}},
			{"missing image", "nodes:\n  a: {image: \"dir:./nothing\"}\n", []string{"lab.yaml:3:14: ", "nothing"}},
			{"several at once", "nodes:\n  a: {comand: [ls]}\n  b: {imag: host}\n", []string{"lab.yaml:3:", "lab.yaml:4:", "comand", "imag"}},
			{"not YAML", "nodes: {a: [\n", []string{"lab.yaml:"}},
			{"a name that climbs", "nodes:\n  \"../x\": {}\n", []string{"lab.yaml:3:3: ", "../x"}},
		} {
			file := filepath.Join(t.TempDir(), "lab.yaml")
			writeFile(t, file, "name: "+testenv.LabName(t)+"\n"+tt.text)
			for _, command := range []string{"up", "plan", "validate"} {
				t.Log(tt.name, command)
				fails(t, testenv.Run(t, command, file), 3, tt.want...)
			}
			nothingLeft(t, before, tt.name)
		}
		fails(t, testenv.Run(t, "up", "/nonexistent/lab.yaml"), 3, "/nonexistent/lab.yaml", "no such file")
		fails(t, testenv.Run(t, "up"), 2, "FILE")
		fails(t, testenv.Run(t, "up", "--wat", "x"), 2, "wat")
		nothingLeft(t, before, "no file")
	})
}

func TestBadReferences(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, "name: NAME\nnodes: {web: {}}\n")
		before := snapshot(t)
		for _, args := range [][]string{{"ps", "nolab"}, {"inspect", "nolab"}, {"inspect", "nolab/web"}, {"logs", "nolab/web"}, {"logs", r.name + "/wep"}, {"inspect", r.name + "/wep"}, {"inspect", "../x"}, {"ps", "../x"}} {
			t.Log(args)
			fails(t, testenv.Run(t, args...), 4, "not found")
		}
		fails(t, testenv.Run(t, "exec", "nolab/web", "true"), 125, "nolab", "not found")
		fails(t, testenv.Run(t, "exec", r.name+"/wep", "true"), 125, "wep", "not found")
		fails(t, r.exec("web", "no-such-command"), 127, "no-such-command", "not found")
		fails(t, r.exec("web", "/no/such/command"), 127, "/no/such/command", "not found")
		fails(t, r.exec("web", "/etc/passwd"), 126, "/etc/passwd", "cannot be executed")
		fails(t, r.exec("web", "/etc"), 126, "/etc", "cannot be executed")
		fails(t, r.exec("web", "sh", "-c", "exit 42"), 42)
		fails(t, r.exec("web", "sh", "-c", "kill -9 $$"), 137)
		fails(t, testenv.Run(t, "exec", "--user", "nobody-here", r.name+"/web", "true"), 126, "nobody-here")
		fails(t, testenv.Run(t, "exec", "--workdir", "/no/such", r.name+"/web", "true"), 126, "/no/such")

		nothingLeft(t, before, "wrong references")
	})
}

// FAULTS section 4: without root nothing works but what needs none, and the record is closed.
func TestNoRoot(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, "name: NAME\nnodes: {web: {}}\n")
		binary := "/run/nsnet-copy" // where nobody may run it
		content, err := os.ReadFile(testenv.Binary(t))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, binary, string(content))
		if err := os.Chmod(binary, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { remove(t, binary) })
		file := "/run/lab.yaml"
		writeFile(t, file, "name: "+testenv.LabName(t)+"\nnodes: {web: {}}\n")
		t.Cleanup(func() { remove(t, file) })
		// Its record is root's, too, and is looked at by most commands when they end.
		testenv.Must(t, "attach", "--node", r.name+"/web", "--ip", "10.213.0.2/32", "--peer-ip", "10.213.0.1/32")
		defer testenv.Must(t, "detach", "--node", r.name+"/web", "--all")
		before := snapshot(t)
		nobody := func(args ...string) testenv.Result {
			cmd := exec.Command(binary, args...)
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr, cmd.Dir = &stdout, &stderr, "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			_ = cmd.Run()
			if cmd.ProcessState == nil {
				t.Fatal("nobody cannot run nsnet")
			}
			return testenv.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
		}
		for _, args := range [][]string{{"up", file}, {"down", r.name}, {"down", "nolab"}, {"down", "--all"}, {"ps"}, {"ps", r.name}, {"inspect", r.name}, {"logs", r.name + "/web"},
			{"watch", file}, {"stop", r.name}, {"stats"}, {"update", r.name + "/web", "--pids", "100"}, {"diff", r.name + "/web"}, {"detach", "--node", r.name + "/web", "--all"}, {"gc"}, {"image", "pull", "oci:/none"}} {
			t.Log(args)
			res := nobody(args...)
			fails(t, res, 6, args[0], "needs root", "sudo")
			if strings.Count(res.Stderr, "\n") != 1 || res.Stdout != "" {
				t.Errorf("not one line, but %q and %q", res.Stdout, res.Stderr)
			}
		}
		fails(t, nobody("exec", r.name+"/web", "true"), 125, "needs root")
		for _, args := range [][]string{{"validate", file}, {"version"}, {"schema"}} {
			fails(t, nobody(args...), 0)
		}
		fails(t, nobody("plan", file), 10)
		// Of a lab that is up an ordinary user cannot know: it is not told as one to be made.
		up := "/run/up.yaml"
		writeFile(t, up, "name: "+r.name+"\nnodes: {web: {}}\n")
		t.Cleanup(func() { remove(t, up) })
		for _, args := range [][]string{{"plan", up}, {"up", "--dry-run", up}} {
			if res := nobody(args...); res.Code != 6 || res.Stdout != "" || strings.Count(res.Stderr, "\n") != 1 {
				t.Errorf("%v of a lab that is up: %+v", args, res)
			}
		}
		for path, mode := range map[string]os.FileMode{"": os.ModeDir | 0o700, "/control.sock": os.ModeSocket | 0o600, "/state.json": 0o600, "/topology.json": 0o600, "/alive": 0o600, "/lock": 0o600} {
			info, err := os.Lstat("/run/nsnet/" + r.name + path)
			if err != nil || info.Mode() != mode {
				t.Errorf("%s of the record: %v, %v; want %v", path, info.Mode(), err, mode)
			}
		}
		connect := exec.Command("/usr/bin/python3", "-c", "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])", "/run/nsnet/"+r.name+"/control.sock")
		connect.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := connect.CombinedOutput(); err == nil || !strings.Contains(string(out), "PermissionError: ") {
			t.Errorf("nobody connects to the control socket: %v\n%s", err, out)
		}
		nothingLeft(t, before, "nobody's attempts")
	})
}

// What a caller has in the environment makes no command something else.
func TestEnvironmentOfInits(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		for _, v := range []string{"_NSNET_INIT=node", "_NSNET_INIT=spawn", "_NSNET_INIT=serve", "_NSNET_INIT=lab", "_NSNET_INIT=fusermount", "_NSNET_ATTACH=", "_NSNET_ATTACH=3,4", "_NSNET_ATTACH=0,1"} {
			cmd := exec.Command(testenv.Binary(t), "version")
			cmd.Env = append(os.Environ(), v)
			if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "nsnet") {
				t.Errorf("%s: %q, error %v", v, out, err)
			}
		}
	})
}
