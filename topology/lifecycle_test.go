package topology

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLifecycleKeys(t *testing.T) {
	lab := mustParse(t, `
name: t
defaults: {restart: always, ready: {tcp: 22}, depends_on: [base], stop_signal: quit}
nodes:
  a: {stop_signal: 10}
  b: {restart: no, ready: , depends_on: []}
  c: {restart: on-failure, ready: {exec: test -e /x, interval: 1m0.5s, timeout: 250ms, start_period: 0, retries: 1}}
  d: {restart: "on-failure:4", command: [x], ready: {log: "up \\d+"}, depends_on: {a: , b: {condition: ready}, d2: {condition: exited}}}
  d2: {command: [x], ready: {http: }, depends_on: [c]}
  e: {ready: {http: {port: 8080, path: /health?x=1, status: 204}}}
  base: {depends_on: [], ready: }
`)
	def := func(r Ready) *Ready {
		r.IntervalMS, r.TimeoutMS, r.StartPeriodMS, r.Retries = 5000, 3000, 30000, 3
		return &r
	}
	base := []Dependency{{"base", DependStarted}}
	for i, want := range []Node{
		{Restart: Restart{Mode: RestartAlways}, Ready: def(Ready{TCP: 22}), DependsOn: base, StopSignal: "SIGUSR1"},
		{},
		{Restart: Restart{Mode: RestartOnFailure}, Ready: &Ready{Exec: []string{"/bin/sh", "-c", "test -e /x"}, IntervalMS: 60_500, TimeoutMS: 250, Retries: 1}, DependsOn: base},
		{Restart: Restart{Mode: RestartOnFailure, Max: 4}, Ready: def(Ready{Log: `up \d+`}), DependsOn: []Dependency{{"a", DependStarted}, {"b", DependReady}, {"d2", DependExited}}},
		{Restart: Restart{Mode: RestartAlways}, Ready: def(Ready{HTTP: &HTTPCheck{Port: 80, Path: "/"}}), DependsOn: []Dependency{{"c", DependStarted}}},
		{Restart: Restart{Mode: RestartAlways}, Ready: def(Ready{HTTP: &HTTPCheck{Port: 8080, Path: "/health?x=1", Status: 204}}), DependsOn: base},
		{Restart: Restart{Mode: RestartAlways}},
	} {
		n := lab.Nodes[i]
		if want.StopSignal == "" {
			want.StopSignal = "SIGQUIT" // of the defaults
		}
		got := Node{Restart: n.Restart, Ready: n.Ready, DependsOn: n.DependsOn, StopSignal: n.StopSignal}
		if diff := cmp.Diff(want, got, addressesAreEqual); diff != "" {
			t.Errorf("node %s: (-want +got)\n%s", n.Name, diff)
		}
	}
	// Labs without these keys are the same as before they were known: a running one is not changed by an upgrade.
	plain, err := json.Marshal(mustParse(t, "name: t\nnodes: {a: }").Nodes[0])
	if err != nil || strings.Contains(string(plain), "restart") || strings.Contains(string(plain), "ready") || strings.Contains(string(plain), "depends") || strings.Contains(string(plain), "stop") || strings.Contains(string(plain), "of_image") {
		t.Errorf("%s, %v", plain, err)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "0s": 0, "5s": 5000, "1.5s": 1500, "250ms": 250, "1m30s": 90_000, "1h": 3_600_000, "24h": 86_400_000, "0.4ms": 0} {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("%s is %d ms, %v, not %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", "5", "5 s", "-5s", "5x", "1s5", "1..5s", "25h", "1e3s", "5S", "infs", "99999999999999999999999h"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %d ms", text, got)
		}
	}
}

// TestRandomDependencies: a file is refused for a circle just when there is one, and the circle that is shown is one.
func TestRandomDependencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "nodes")
		edges := map[[2]int]bool{}
		var b strings.Builder
		b.WriteString("name: t\nnodes:\n")
		for i := range n {
			deps := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, min(n, 2), rapid.ID[int]).Draw(t, "deps")
			var names []string
			for _, d := range deps {
				edges[[2]int{i, d}] = true
				names = append(names, fmt.Sprintf("n%d", d))
			}
			fmt.Fprintf(&b, "  n%d: {depends_on: [%s]}\n", i, strings.Join(names, ", "))
		}
		// Whoever depends on nobody left is taken away; what stays is on a circle or leads to one.
		left := upTo(n)
		for again := true; again; {
			again = false
			for k, i := range left {
				if !slices.ContainsFunc(left, func(d int) bool { return edges[[2]int{i, d}] }) {
					left, again = slices.Delete(left, k, k+1), true
					break
				}
			}
		}
		_, err := Parse("t.yaml", []byte(b.String()), Options{})
		if (err != nil) != (len(left) > 0) {
			t.Fatalf("on or before a circle: %v; error: %v\n%s", left, err, b.String())
		}
		if err == nil {
			return
		}
		for line := range strings.Lines(err.Error()) {
			_, circle, ok := strings.Cut(strings.TrimSpace(line), "on each other: ")
			if !ok {
				continue // on itself
			}
			names := strings.Split(circle, " -> ")
			for k := range names[1:] {
				var from, to int
				if _, err := fmt.Sscanf(names[k]+" "+names[k+1], "n%d n%d", &from, &to); err != nil || !edges[[2]int{from, to}] {
					t.Fatalf("%s: no dependency of %s on %s", circle, names[k], names[k+1])
				}
			}
			if names[0] != names[len(names)-1] {
				t.Fatalf("%s is no circle", circle)
			}
		}
	})
}
