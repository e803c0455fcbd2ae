package lab

import (
	"reflect"
	"slices"
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

// An image's signal and check are a node's whose file says none; a check is for what runs.
func TestApplyPolicy(t *testing.T) {
	t.Parallel()
	c := image.Config{Command: []string{"c"}, StopSignal: "SIGQUIT", Health: &image.Health{Exec: []string{"check"}, IntervalMS: 100, TimeoutMS: 7, StartPeriodMS: 1000, Retries: 3}}
	of := &topology.Ready{Exec: []string{"check"}, IntervalMS: 100, TimeoutMS: 7, StartPeriodMS: 1300, Retries: 3}
	own := &topology.Ready{TCP: 80}
	for _, tc := range []struct {
		name   string
		node   topology.Node
		signal string
		ready  *topology.Ready
		of     string
	}{
		{"nothing", topology.Node{}, "SIGQUIT", of, "stop_signal ready"},
		{"its own check", topology.Node{Ready: own, ReadyGiven: true}, "SIGQUIT", own, "stop_signal"},
		{"no check", topology.Node{ReadyGiven: true}, "SIGQUIT", nil, "stop_signal"},
		{"its own signal", topology.Node{StopSignal: "SIGUSR1"}, "SIGUSR1", of, "ready"},
		{"another command", topology.Node{CommandGiven: true, Command: []string{"x"}}, "SIGQUIT", of, "stop_signal ready"},
		{"idle", topology.Node{CommandGiven: true}, "SIGQUIT", nil, "stop_signal"},
	} {
		file := tc.node
		applyConfig(&tc.node, &c)
		n := &tc.node
		if n.StopSignal != tc.signal || !reflect.DeepEqual(n.Ready, tc.ready) || strings.Join(n.OfImage, " ") != tc.of {
			t.Errorf("%s: signal %s, check %+v, of the image %v", tc.name, n.StopSignal, n.Ready, n.OfImage)
		}
		if keys := append(otherPolicy(&file, n), otherPolicy(n, n)...); len(keys) > 0 {
			t.Errorf("%s: the node of an unchanged file has other %v", tc.name, keys)
		}
		bare := *n
		bare.StopSignal, bare.Ready, bare.ReadyGiven, bare.OfImage = "", nil, false, nil
		if !sameStart(&bare, n) {
			t.Errorf("%s: it would be started anew for its signal or its check", tc.name)
		}
	}
	applied := topology.Node{}
	applyConfig(&applied, &c)
	for name, n := range map[string]topology.Node{"a check": {Ready: own, ReadyGiven: true}, "none": {ReadyGiven: true}} {
		if keys := otherPolicy(&n, &applied); !slices.Equal(keys, []string{"ready"}) {
			t.Errorf("%s of the file is not seen", name)
		}
	}
	if keys := otherPolicy(&topology.Node{StopSignal: "SIGHUP"}, &applied); !slices.Equal(keys, []string{"stop_signal"}) {
		t.Error("a signal of the file is not seen")
	}
	none := topology.Node{ReadyGiven: true}
	applyConfig(&none, &c)
	if keys := otherPolicy(&topology.Node{}, &none); !slices.Equal(keys, []string{"ready"}) {
		t.Error("that the file no longer takes the image's check back is not seen")
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
