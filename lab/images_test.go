package lab

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/topology"
)

// Directories that the image names are made in the node; one that the file names is the file's own affair.
func TestImageDirs(t *testing.T) {
	t.Parallel()
	c := image.Config{Volumes: []string{"/data"}, Workdir: "/w"}
	for workdir, want := range map[string]string{"": "/data /w", "/mine": "/data"} {
		n := topology.Node{Workdir: workdir}
		applyConfig(&n, &c)
		if got := strings.Join(n.Dirs, " "); got != want {
			t.Errorf("workdir %q: %q, and not %q", workdir, got, want)
		}
	}
}

// As with Docker: who gives an entrypoint does not get the image's command, who gives a command gets its entrypoint.
func TestApplyConfig(t *testing.T) {
	t.Parallel()
	c := image.Config{Entrypoint: []string{"/e"}, Command: []string{"c"}, Env: []string{"A=image", "B=image", "AB=image"}, User: "u", Workdir: "/w"}
	for _, tc := range []struct {
		name string
		node topology.Node
		want string // command | env | user | workdir
	}{
		{"nothing", topology.Node{}, "/e c|A=image B=image AB=image|u|/w"},
		{"command", topology.Node{Command: []string{"x"}, CommandGiven: true}, "/e x|A=image B=image AB=image|u|/w"},
		{"no command", topology.Node{CommandGiven: true}, "/e|A=image B=image AB=image|u|/w"},
		{"entrypoint", topology.Node{Entrypoint: []string{"y"}, EntrypointGiven: true}, "y|A=image B=image AB=image|u|/w"},
		{"no entrypoint", topology.Node{EntrypointGiven: true}, "|A=image B=image AB=image|u|/w"},
		{"both", topology.Node{Entrypoint: []string{"y"}, EntrypointGiven: true, Command: []string{"x"}, CommandGiven: true}, "y x|A=image B=image AB=image|u|/w"},
		{"environment", topology.Node{Env: []string{"A=own", "C=own"}}, "/e c|B=image AB=image A=own C=own|u|/w"},
		{"user and directory", topology.Node{User: "0:0", Workdir: "/"}, "/e c|A=image B=image AB=image|0:0|/"},
	} {
		applyConfig(&tc.node, &c)
		got := strings.Join([]string{strings.Join(tc.node.Command, " "), strings.Join(tc.node.Env, " "), tc.node.User, tc.node.Workdir}, "|")
		if got != tc.want {
			t.Errorf("%s: %s, and not %s", tc.name, got, tc.want)
		}
	}
}
