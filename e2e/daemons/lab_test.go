package daemons

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// daemon is a node that runs one, and what it has besides the command of the unit.
type daemon struct {
	unit     string   // file name, an instance before its @
	more     []string // arguments behind the unit's
	node     string   // further keys
	files    map[string]string
	secret   []string // of the files: those that root alone may read
	instance string
}

// lan is where the daemons are that are looked at from a client.
const links = `
bridges: {lan: {subnet: 10.7.0.0/24}, dhcp: {}}
links:
  - {endpoints: ["client:eth0", lan], address: 10.7.0.100/24}
  - {endpoints: ["nginx:eth0", lan], address: 10.7.0.1/24}
  - {endpoints: ["sshd:eth0", lan], address: 10.7.0.2/24}
  - {endpoints: ["keepalived:eth0", lan], address: 10.7.0.3/24}
  - {endpoints: ["dnsmasq:eth0", dhcp], address: 10.8.0.1/24}
  - {endpoints: ["dhcpcd:eth0", dhcp], addresses: []}
  - {endpoints: ["bird:eth0", "frr:eth0"], addresses: [10.1.0.0/31, 10.1.0.1/31]}
  - {endpoints: ["charon1:eth0", "charon2:eth0"], addresses: [10.2.0.1/24, 10.2.0.2/24]}
  - {endpoints: ["openvpn1:eth0", "openvpn2:eth0"], addresses: [10.3.0.1/24, 10.3.0.2/24]}
  - {endpoints: ["ptp1:eth0", "ptp2:eth0"], addresses: [10.4.0.1/24, 10.4.0.2/24]}
`

// run is a running lab.
type run struct {
	t    *testing.T
	name string
}

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

// eventually waits until a shell command in a node prints something with all these in it.
func (r run) eventually(node, script string, parts ...string) {
	r.t.Helper()
	var res testenv.Result
	defer func() {
		if r.t.Failed() {
			r.t.Logf("%s: %s: exit code %d\n%s%slogs:\n%s", node, script, res.Code, res.Stdout, res.Stderr, testenv.Must(r.t, "logs", r.name+"/"+node))
		}
	}()
	testenv.Eventually(r.t, 30*time.Second, node+": "+script, func() bool {
		res = r.exec(node, "sh", "-c", script)
		return res.Code == 0 && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(res.Stdout, p) })
	})
}

// up brings a lab up until the test ends.
func up(t *testing.T, file string) run {
	t.Helper()
	r := run{t, testenv.LabName(t)}
	testenv.Must(t, "up", file, "--name", r.name)
	t.Cleanup(func() {
		if out, err := exec.Command(testenv.Binary(t), "down", r.name).CombinedOutput(); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
	})
	return r
}

// services reads the units of the daemons, and what these take in, from a root filesystem.
func services(t *testing.T, image string, daemons map[string]daemon) map[string]service {
	t.Helper()
	// A service manager reads them as root of the machine, to whom nothing is closed as to a node.
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(b)
	}
	if image != "host" {
		file := filepath.Join(t.TempDir(), "look.yaml")
		write(t, file, "nodes: {look: {image: \""+image+"\"}}\n", 0o600)
		name := testenv.LabName(t) + "-look"
		testenv.Must(t, "up", file, "--name", name)
		defer testenv.Must(t, "down", name)
		read = func(path string) string { return run{t, name}.exec("look", "cat", path).Stdout }
	}
	all := map[string]service{}
	for node, d := range daemons {
		s, err := parseService(read("/lib/systemd/system/"+d.unit), d.instance)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s.envFrom {
			s.env = append(s.env, assignments(read(f))...)
		}
		s.resolve()
		s.argv = append(s.argv, d.more...)
		all[node] = s
	}
	return all
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// topology writes the lab's file and all that it binds.
func topology(t *testing.T, image string, daemons map[string]daemon, services map[string]service) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "defaults: {image: %q}\nnodes:\n  client: {binds: [\"./id:/id:ro,idmap\"]}\n", image)
	for _, node := range slices.Sorted(maps.Keys(daemons)) {
		d, s := daemons[node], services[node]
		var binds []string
		for _, target := range slices.Sorted(maps.Keys(d.files)) {
			source, mode := "./"+node+target, os.FileMode(0o644)
			bind := source + ":" + target
			if slices.Contains(d.secret, target) {
				mode, bind = 0o600, bind+":ro,idmap"
			}
			write(t, filepath.Join(dir, source), d.files[target], mode)
			binds = append(binds, bind)
		}
		argv, err1 := json.Marshal(s.argv)
		mounts, err2 := json.Marshal(binds)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		env := map[string]string{}
		for _, e := range s.env {
			k, v, _ := strings.Cut(e, "=")
			env[k] = v
		}
		variables, err := json.Marshal(env)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "  %s: {command: %s, binds: %s, env: %s", node, argv, mounts, variables)
		if s.dir != "" {
			fmt.Fprintf(&b, ", workdir: %s", s.dir)
		}
		if d.node != "" {
			b.WriteString(", " + d.node)
		}
		b.WriteString("}\n")
	}
	write(t, filepath.Join(dir, "id"), daemons["sshd"].files[clientKey], 0o600)
	file := filepath.Join(dir, "lab.yaml")
	write(t, file, b.String()+links, 0o600)
	return file
}

// states are the nodes' states, as ps shows them.
func (r run) states() map[string]string {
	r.t.Helper()
	var list struct{ Labs []lab.Status }
	if err := json.Unmarshal([]byte(testenv.Must(r.t, "ps", r.name, "--json")), &list); err != nil || len(list.Labs) != 1 {
		r.t.Fatalf("ps: %v, %d labs", err, len(list.Labs))
	}
	all := map[string]string{}
	for _, n := range list.Labs[0].Nodes {
		all[n.Name] = n.State
		if n.State == lab.StateExited {
			all[n.Name] = fmt.Sprintf("%s(%d)", n.State, *n.ExitCode)
		}
	}
	return all
}
