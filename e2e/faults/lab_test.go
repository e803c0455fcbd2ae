package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// run is a lab of a test.
type run struct {
	t    *testing.T
	name string
	file string
}

// define writes a topology, with NAME for its name, and takes the lab down at the test's end.
func define(t *testing.T, text string) run {
	t.Helper()
	r := run{t, testenv.LabName(t), filepath.Join(t.TempDir(), "lab.yaml")}
	writeFile(t, r.file, strings.ReplaceAll(text, "NAME", r.name))
	t.Cleanup(func() {
		if out, err := exec.Command(testenv.Binary(t), "down", r.name).CombinedOutput(); err != nil {
			t.Errorf("down %s: %v\n%s", r.name, err, out)
		}
	})
	return r
}

// start is define and up.
func start(t *testing.T, text string) run {
	t.Helper()
	r := define(t, text)
	testenv.Must(t, "up", r.file)
	return r
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// exec runs a command in a node.
func (r run) exec(node string, argv ...string) testenv.Result {
	r.t.Helper()
	return testenv.Run(r.t, append([]string{"exec", r.name + "/" + node, "--"}, argv...)...)
}

// sh runs a shell command in a node, which must succeed, and returns what it printed.
func (r run) sh(node, script string) string {
	r.t.Helper()
	res := r.exec(node, "sh", "-c", script)
	if res.Code != 0 {
		r.t.Fatalf("in %s: %s: exit code %d\n%s%s", node, script, res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// status is the lab as ps shows it.
func (r run) status() lab.Status {
	r.t.Helper()
	var list struct{ Labs []lab.Status }
	if err := json.Unmarshal([]byte(testenv.Must(r.t, "ps", r.name, "--json")), &list); err != nil {
		r.t.Fatal(err)
	}
	if len(list.Labs) != 1 {
		r.t.Fatalf("ps lists %d labs, not 1", len(list.Labs))
	}
	return list.Labs[0]
}

// node is a node as ps shows it.
func (r run) node(name string) lab.NodeStatus {
	r.t.Helper()
	nodes := r.status().Nodes
	i := slices.IndexFunc(nodes, func(n lab.NodeStatus) bool { return n.Name == name })
	if i < 0 {
		r.t.Fatalf("ps does not list node %s", name)
	}
	return nodes[i]
}

// mixed is a lab of some nodes with everything that can be left behind: legs, address
// translation, control groups, resolv.conf files, commands, cables.
func mixed(nodes int) string {
	var b strings.Builder
	b.WriteString(`name: NAME
defaults:
  dns: {nameservers: [192.0.2.53]}
bridges:
  lan0: {address: [10.80.0.1/16, "fd00:80::1/64"], nat: true}
  lan1: {address: 10.81.0.1/16}
  lan2: {subnet: 10.82.0.0/16}
nodes:
`)
	for i := range nodes {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "  n%d: {limits: {memory: 64MiB, pids: 64}}\n", i)
		case 1:
			fmt.Fprintf(&b, "  n%d: {command: [sleep, infinity]}\n", i)
		default:
			fmt.Fprintf(&b, "  n%d: {}\n", i)
		}
	}
	b.WriteString("links:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  - endpoints: [\"n%d:eth0\", lan%d]\n", i, i%3)
		if i > 0 {
			fmt.Fprintf(&b, "  - {endpoints: [\"n%d:p%d\", \"n%d:q%d\"], addresses: [10.83.%d.1/32, 10.83.%d.2/32]}\n", i-1, i-1, i, i, i, i)
		}
	}
	return b.String()
}

// snapshot is the state to come back to.
func snapshot(t *testing.T) *testenv.Snapshot {
	t.Helper()
	s, err := testenv.Take()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nothingLeft fails the test when something differs from the snapshot after two seconds.
func nothingLeft(t *testing.T, before *testenv.Snapshot, when string, except ...testenv.Kind) {
	t.Helper()
	leaks, err := before.Wait(2*time.Second, except...)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leaks {
		t.Errorf("%s: %s", when, l)
	}
	if len(leaks) > 0 {
		t.FailNow()
	}
}

// onNextCommand are the kinds of things that the next command removes: the kernel removes all
// others by itself.
func onNextCommand() []testenv.Kind {
	return []testenv.Kind{testenv.KindFile, testenv.KindCgroup, testenv.KindSysctl}
}

// process is nsnet while it runs.
type process struct {
	*exec.Cmd
	out bytes.Buffer
}

// launch starts nsnet.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(testenv.Binary(t), testenv.Trusting(args...)...)}
	p.Stdout, p.Stderr = &p.out, &p.out
	p.WaitDelay = 20 * time.Second
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// end waits for it and returns its exit code, 128+n for signal n.
func (p *process) end(t *testing.T) int {
	t.Helper()
	err := p.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("wait for nsnet: %v\n%s", err, p.out.String())
	}
	if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.ProcessState.ExitCode()
}

// kill ends a process of the test's own PID namespace.
func kill(t *testing.T, pid int) {
	t.Helper()
	if pid < 2 {
		t.Fatalf("no process to kill: pid %d", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// fails fails the test unless the result has this exit code and its message all these parts.
func fails(t *testing.T, res testenv.Result, code int, parts ...string) {
	t.Helper()
	if res.Code != code {
		t.Errorf("exit code %d, not %d\n%s%s", res.Code, code, res.Stdout, res.Stderr)
	}
	for _, p := range parts {
		if !strings.Contains(res.Stderr, p) {
			t.Errorf("the message does not say %q:\n%s", p, res.Stderr)
		}
	}
	if strings.Contains(res.Stderr, "goroutine ") {
		t.Errorf("panic:\n%s", res.Stderr)
	}
}
