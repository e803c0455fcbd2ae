package topology

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFilesOfOtherToolsAreRecognised(t *testing.T) {
	for name, tc := range map[string]struct{ text, place, tool string }{
		"Compose":         {"version: '3'\nservices:\n  web:\n    image: nginx\nnetworks:\n  lan: {}\n", "1:1", "Docker Compose"},
		"Compose, named":  {"name: shop\nservices: {web: {}}\n", "1:1", "Docker Compose"},
		"containerlab":    {"name: t\ntopology:\n  nodes:\n    a: {kind: linux}\n  links:\n    - endpoints: ['a:eth1', 'b:eth1']\n", "1:1", "containerlab"},
		"Kathara":         {"pc1[0]=\"A\"\npc1[image]=\"kathara/base\"\n", "1:1", "Kathara"},
		"Kathara, named":  {"LAB_NAME=\"x: y\"\nr1[0]=\"A\"\n", "1:1", "Kathara"},
		"Kathara, commas": {"# a: b\npc1[0]=\"A\"\npc2[0]=\"A\"\n", "2:1", "Kathara"},
	} {
		got := errorLines(t, "lab.yaml", tc.text, Options{})
		if len(got) != 1 || !strings.HasPrefix(got[0], tc.place+": this is a ") || !strings.Contains(got[0], " of "+tc.tool+":") {
			t.Errorf("%s: %q", name, got)
		}
	}
	// A file of nsnet's is never taken for another tool's.
	for _, text := range []string{
		"name: t\nnodes: {services: {}}\nservices: {}\n",
		"name: t\nnodes:\n  a:\n    command: |\n      x\narr[0]=1\n",
		"name: t\ntopology: star\n",
	} {
		for _, line := range errorLines(t, "lab.yaml", text, Options{}) {
			if strings.Contains(line, "this is a ") {
				t.Errorf("%q: %s", text, line)
			}
		}
	}
}

func TestKeysOfOtherTools(t *testing.T) {
	const limits = `limits: {memory: 64MiB, cpu: 0.5, pids: 100}`
	for text, want := range map[string]string{
		"nodes: {a: {environment: {A: b}}}":  "2:13: unknown key \"environment\" in node a (write env: {NAME: value})",
		"nodes: {a: {cmd: x}}":               "2:13: unknown key \"cmd\" in node a (write command: [PROGRAM, ARGUMENT])",
		"nodes: {a: {exec: [x]}}":            "2:13: unknown key \"exec\" in node a (write command: \"FIRST; SECOND; exec sleep infinity\", which is run in the node)",
		"nodes: {a: {volumes: ['./x:/x']}}":  "2:13: unknown key \"volumes\" in node a (write binds: [\"./SOURCE:/TARGET:ro\"])",
		"nodes: {a: {cap_add: [SYS_ADMIN]}}": "2:13: unknown key \"cap_add\" in node a (write caps: [SYS_ADMIN])",
		"defaults: {memory: 64M}":            "2:12: unknown key \"memory\" in defaults (write " + limits + ")",
		"nodes: {a: {cpus: 2}}":              "2:13: unknown key \"cpus\" in node a (write " + limits + ")",
		"nodes: {a: {limits: {cpus: 2}}}":    "2:22: unknown key \"cpus\" in limits (write cpu: 0.5)",
		"networks: {lan: {}}":                "2:1: unknown key \"networks\" in the file (write bridges: {NAME: {subnet: 10.0.0.0/24}})",
		"nodes: {a: {limits: {cpu: 20%}}}":   "2:27: cpu must be a number, not text (write 0.2 for 20%)",
		"nodes: {a: {limits: {cpu: 250m}}}":  "2:27: cpu must be a number, not text (write 0.25 for 250m)",
		"nodes: {a: {limits: {cpu: '%'}}}":   "2:27: cpu must be a number, not text",
		"nodes: {a: {kind: linux}}":          "2:13: unknown key \"kind\" in node a (write image: host, dir:PATH, or an image such as debian:12)",
		"nodes: {a: {labels: {x: y}}}":       "2:13: unknown key \"labels\" in node a (write nothing: nodes have no labels; the environment can tell a node what it is)",
	} {
		if diff := cmp.Diff([]string{want}, errorLines(t, "lab.yaml", "name: t\n"+text, Options{})); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// TestGuessesLeadSomewhere holds the guesses against the keys that there are.
func TestGuessesLeadSomewhere(t *testing.T) {
	known := map[string]bool{}
	for _, names := range [][]string{keyNames(fileKeys()), keyNames(nodeKeys()), keyNames(limitKeys()), keyNames(bridgeKeys()), keyNames(linkKeys())} {
		for _, name := range names {
			known[name] = true
		}
		for _, g := range guesses() {
			if instead(g.key, names) != "" && contains(names, g.key) {
				t.Errorf("%s is a key of its own where it is a guess for %s", g.key, g.own)
			}
		}
	}
	for _, g := range guesses() {
		if !known[g.own] {
			t.Errorf("the guess %s is for sections with %s, and there are none", g.key, g.own)
		}
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func TestKeysForAnchors(t *testing.T) {
	lab := mustParse(t, `
name: t
x-router: &router {image: dir:/r, sysctls: {net.ipv4.ip_forward: 1}}
x-note: [anything, {at: all}]
nodes:
  r1: *router
  r2: {<<: *router, hostname: two}
`)
	if lab.Nodes[0].Image.Path != "/r" || lab.Nodes[1].Image.Path != "/r" || lab.Nodes[1].Hostname != "two" {
		t.Errorf("%+v", lab.Nodes)
	}
	// At the top alone, and under no other name.
	got := errorLines(t, "lab.yaml", "name: t\nnodes: {a: {x-y: 1}}\nX-z: 1", Options{})
	want := []string{`2:13: unknown key "x-y" in node a`, `3:1: unknown key "X-z" in the file`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestBindSourceWithColons(t *testing.T) {
	for bind, want := range map[string]Bind{
		"./f:/f":             {"/labs/f", "/f", true, true},
		"./a:b:/f":           {"/labs/a:b", "/f", true, true},
		"./a:b:c:/f:rw":      {"/labs/a:b:c", "/f", false, false},
		"./a:/b:/f:rw,idmap": {"/labs/a:/b", "/f", false, true},
		"./a:ro:/f":          {"/labs/a:ro", "/f", true, true},
	} {
		lab := mustParse(t, "name: t\nnodes: {a: {binds: ['"+bind+"']}}")
		if diff := cmp.Diff([]Bind{want}, lab.Nodes[0].Binds); diff != "" {
			t.Errorf("%s (-want +got)\n%s", bind, diff)
		}
	}
}

func TestBindsOfDefaultsAreMergedByTarget(t *testing.T) {
	lab := mustParse(t, `
name: t
defaults: {binds: ["./f:/f", "./g:/g"]}
nodes:
  same: {}
  none: {binds: []}
  more: {binds: ["./own:/g:rw", "./h:/h"]}
`)
	f, g := Bind{"/labs/f", "/f", true, true}, Bind{"/labs/g", "/g", true, true}
	own, h := Bind{"/labs/own", "/g", false, false}, Bind{"/labs/h", "/h", true, true}
	for i, want := range [][]Bind{{f, g}, nil, {f, own, h}} {
		if diff := cmp.Diff(want, lab.Nodes[i].Binds); diff != "" {
			t.Errorf("node %s (-want +got)\n%s", lab.Nodes[i].Name, diff)
		}
	}
}

func TestIndentation(t *testing.T) {
	const column = "not valid YAML: the line begins where no line of a block above it does: lines that belong together begin in the same column"
	const tab = "not valid YAML: the line is indented by a tab, for which YAML has no width; use spaces"
	for text, want := range map[string]string{
		"name: t\nnodes:\n  a: {}\n b: {}\n":                         "4:2: " + column,
		"name: t\nnodes:\n  a:\n    tun: true\n   nnp: true\n":       "5:4: " + column,
		"name: t\nnodes:\n  a:\n    caps:\n    - A\n   - B\n":        "6:4: " + column,
		"name: t\nnodes:\n  a:\n\n    # x\n  \ttun: true\n":          "6:3: " + tab,
		"name: t\r\nnodes:\r\n\ta: {}\r\n":                           "3:1: " + tab,
		"name: t\nnodes:\n  a:\n    env: {A: b: c}\n    tun: true\n": "4:15: not valid YAML: while parsing a flow mapping: did not find expected ',' or '}'",
		"name: t\nnodes: {\n":                                        "3:1: not valid YAML: while parsing a flow node: did not find expected node content",
	} {
		if diff := cmp.Diff([]string{want}, errorLines(t, "lab.yaml", text, Options{})); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
}
