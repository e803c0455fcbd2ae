package images

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
)

// ready are what ps shows of the nodes' checks.
func ready(t *testing.T, name string) map[string]string {
	t.Helper()
	var lab struct {
		Nodes []struct {
			Name  string
			Ready string
		}
	}
	if err := json.Unmarshal([]byte(testenv.Must(t, "inspect", "--json", name)), &lab); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, n := range lab.Nodes {
		all[n.Name] = n.Ready
	}
	return all
}

// STOPSIGNAL and HEALTHCHECK of an image hold for its nodes, unless the file says otherwise, and that can be changed while they run.
func TestStopSignalAndHealthcheck(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		script := "trap 'echo asked by USR1; exit 0' USR1; trap 'echo asked by TERM; exit 0' TERM; trap 'echo asked by HUP; exit 0' HUP; touch /tmp/up; echo begun; while :; do sleep 0.02; done"
		config := v1.Config{Env: []string{"PATH=/bin"}, Cmd: []string{"/bin/sh", "-c", script}, StopSignal: "USR1",
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD-SHELL", "test -e /tmp/up || { echo not yet; exit 1; }"}, Interval: 20 * time.Millisecond}}
		ref := r.Push(t, "policy:1", imagetest.Image(t, config, busyboxLayer(t)))
		text := `
defaults: {image: "IMAGE"}
nodes:
  plain: {}
  own: {stop_signal: SIGHUP, ready: {log: begun}}
  none: {ready: }
  idle: {command: []}
`
		path := topologyFile(t, ref, text)
		name := testenv.LabName(t)
		t.Cleanup(func() { testenv.Run(t, "down", name) })
		testenv.Must(t, "up", "--wait", path, "--name", name)
		for node, wanted := range map[string]string{"plain": "ready", "own": "ready", "none": "", "idle": ""} {
			want(t, "the check of "+node, ready(t, name)[node], wanted)
		}
		says(t, testenv.Must(t, "up", path, "--name", name), "nothing to do")
		ends := func(node, signal string) {
			t.Helper()
			testenv.Must(t, "stop", name+"/"+node)
			if log := testenv.Must(t, "logs", name+"/"+node); !strings.HasSuffix(log, "asked by "+signal+"\n") {
				t.Errorf("%s was not asked by %s:\n%s", node, signal, log)
			}
			testenv.Must(t, "start", name+"/"+node)
		}
		ends("plain", "USR1")
		ends("own", "HUP")
		before := pids(t, name, "plain", "own", "none")
		changed := strings.NewReplacer("plain: {}", "plain: {stop_signal: 15}", "ready: {log: begun}", "", "none: {ready: }", "none: {}").Replace(text)
		if err := os.WriteFile(path, []byte("name: lab\n"+strings.ReplaceAll(changed, "IMAGE", ref)), 0o600); err != nil {
			t.Fatal(err)
		}
		says(t, testenv.Run(t, "plan", path, "--name", name).Stdout, `policy +plain +stop_signal \(in place`, `policy +own +ready \(in place`, `policy +none +ready \(in place`)
		testenv.Must(t, "up", "--wait", path, "--name", name)
		for node, pid := range pids(t, name, "plain", "own", "none") {
			want(t, "the init of "+node, pid, before[node])
		}
		for node, wanted := range map[string]string{"plain": "ready", "own": "ready", "none": "ready", "idle": ""} {
			want(t, "the check of "+node+" by now", ready(t, name)[node], wanted)
		}
		ends("plain", "TERM")
		ends("none", "USR1")
		says(t, testenv.Must(t, "up", path, "--name", name), "nothing to do")
		testenv.Must(t, "down", name)
	})
}
