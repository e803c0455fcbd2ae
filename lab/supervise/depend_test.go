package supervise

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestReadiness(t *testing.T) {
	health := func(s HealthState) *Health { return &Health{State: s} }
	looked := func(s HealthState) *Health { return &Health{State: s, checks: true} }
	for name, tc := range map[string]struct {
		u    Unit
		h    HealthState
		want Verdict
		why  string
	}{
		"in the background":            {Unit{Phase: Exited}, Checking, Pending, "its check has not passed"},
		"in the background, ready":     {Unit{Phase: Exited}, Ready, Good, ""},
		"in the background, unhealthy": {Unit{Phase: Exited}, Unhealthy, Failed, "it is unhealthy"},
		"failed, left something":       {Unit{Phase: Exited, Status: bad}, Ready, Failed, "its command has ended with exit code 3"},
	} {
		if got, why := (Node{Unit: &tc.u, Health: looked(tc.h)}).Readiness(); got != tc.want || why != tc.why {
			t.Errorf("%s: %d, %q", name, got, why)
		}
	}
	for name, tc := range map[string]struct {
		u    Unit
		h    HealthState
		want Verdict
		why  string
	}{
		"idle":                      {Unit{}, NoCheck, Good, ""},
		"idle, checking":            {Unit{}, Checking, Pending, "its check has not passed"},
		"idle, ready":               {Unit{}, Ready, Good, ""},
		"running":                   {Unit{Phase: Running}, NoCheck, Good, ""},
		"running, ready":            {Unit{Phase: Running}, Ready, Good, ""},
		"running, checking":         {Unit{Phase: Running}, Checking, Pending, "its check has not passed"},
		"running, unhealthy":        {Unit{Phase: Running}, Unhealthy, Failed, "it is unhealthy"},
		"starting":                  {Unit{Phase: Starting}, NoCheck, Pending, "its command is not there yet"},
		"waiting":                   {Unit{Phase: Waiting}, NoCheck, Pending, "it waits for the nodes that it depends on"},
		"done":                      {Unit{Phase: Exited}, NoCheck, Good, ""},
		"done before it was ready":  {Unit{Phase: Exited}, Checking, Failed, "its command has ended before it was ready"},
		"failed":                    {Unit{Phase: Exited, Status: bad}, NoCheck, Failed, "its command has ended with exit code 3"},
		"killed":                    {Unit{Phase: Exited, Status: 9}, Ready, Failed, "its command has ended by signal 9"},
		"not started":               {Unit{Phase: Exited, Status: 127 << 8, Reason: "x: no such file"}, NoCheck, Failed, "its command could not be started: x: no such file"},
		"backing off":               {Unit{Phase: BackingOff, Status: bad}, NoCheck, Pending, "its command has ended with exit code 3 and is started again"},
		"backing off for too long":  {Unit{Phase: BackingOff, Status: bad}, Unhealthy, Failed, "it is unhealthy"},
		"what is left ends":         {Unit{Phase: Stopping, then: BackingOff, Status: bad}, Checking, Pending, "its command has ended with exit code 3 and is started again"},
		"stopped":                   {Unit{Phase: Stopped}, NoCheck, Failed, "it is stopped"},
		"dead":                      {Unit{Phase: Dead}, Ready, Failed, "its init has ended"},
		"starting after it was bad": {Unit{Phase: Starting}, Unhealthy, Failed, "it is unhealthy"},
	} {
		if got, why := (Node{Unit: &tc.u, Health: health(tc.h)}).Readiness(); got != tc.want || why != tc.why {
			t.Errorf("%s: %d, %q", name, got, why)
		}
	}
}

// A paused node is not ready until it is resumed; what does not come by itself does not come by that, and what has come has.
func TestReadinessOfPaused(t *testing.T) {
	for name, tc := range map[string]struct {
		u    Unit
		h    HealthState
		want [3]Verdict // started, ready, exited
		why  string
	}{
		"idle":      {Unit{}, NoCheck, [3]Verdict{Good, Pending, Failed}, "it is paused"},
		"running":   {Unit{Phase: Running, Ran: true}, NoCheck, [3]Verdict{Good, Pending, Pending}, "it is paused"},
		"ready":     {Unit{Phase: Running, Ran: true}, Ready, [3]Verdict{Good, Pending, Pending}, "it is paused"},
		"checking":  {Unit{Phase: Running, Ran: true}, Checking, [3]Verdict{Good, Pending, Pending}, "it is paused"},
		"done":      {Unit{Phase: Exited, Ran: true}, NoCheck, [3]Verdict{Good, Pending, Good}, "it is paused"},
		"unhealthy": {Unit{Phase: Running, Ran: true}, Unhealthy, [3]Verdict{Good, Failed, Pending}, "it is unhealthy"},
		"failed":    {Unit{Phase: Exited, Status: bad, Ran: true}, NoCheck, [3]Verdict{Good, Failed, Failed}, "its command has ended with exit code 3"},
		"dead":      {Unit{Phase: Dead}, NoCheck, [3]Verdict{Failed, Failed, Failed}, "its init has ended"},
	} {
		n := Node{Unit: &tc.u, Health: &Health{State: tc.h}, Paused: true}
		if _, why := n.Readiness(); why != tc.why {
			t.Errorf("%s: %q, not %q", name, why, tc.why)
		}
		for c, want := range tc.want {
			if got, _ := n.Met(Condition(c)); got != want {
				t.Errorf("%s, condition %d: %d, not %d", name, c, got, want)
			}
		}
	}
}

func TestMet(t *testing.T) {
	none := &Health{}
	for name, tc := range map[string]struct {
		u    Unit
		h    *Health
		want [3]Verdict // started, ready, exited
	}{
		"idle":                  {Unit{}, none, [3]Verdict{Good, Good, Failed}},
		"waiting":               {Unit{Phase: Waiting}, none, [3]Verdict{}},
		"starting":              {Unit{Phase: Starting}, none, [3]Verdict{}},
		"running":               {Unit{Phase: Running, Ran: true}, none, [3]Verdict{Good, Good, Pending}},
		"running, not ready":    {Unit{Phase: Running, Ran: true}, &Health{State: Checking}, [3]Verdict{Good, Pending, Pending}},
		"done":                  {Unit{Phase: Exited, Ran: true}, none, [3]Verdict{Good, Good, Good}},
		"failed":                {Unit{Phase: Exited, Ran: true, Status: bad}, none, [3]Verdict{Good, Failed, Failed}},
		"could not be started":  {Unit{Phase: Exited, Status: bad, Reason: "x"}, none, [3]Verdict{Failed, Failed, Failed}},
		"to be tried again":     {Unit{Phase: BackingOff, Status: bad, Reason: "x"}, none, [3]Verdict{}},
		"to be started again":   {Unit{Phase: BackingOff, Status: bad, Ran: true}, none, [3]Verdict{Good, Pending, Pending}},
		"stopped":               {Unit{Phase: Stopped, Ran: true}, none, [3]Verdict{Good, Failed, Failed}},
		"stopped before it ran": {Unit{Phase: Stopped}, none, [3]Verdict{Failed, Failed, Failed}},
		"dead":                  {Unit{Phase: Dead}, none, [3]Verdict{Failed, Failed, Failed}},
	} {
		for c, want := range tc.want {
			got, why := (Node{Unit: &tc.u, Health: tc.h}).Met(Condition(c))
			if got != want || (why == "") != (got == Good) {
				t.Errorf("%s, condition %d: %d, %q", name, c, got, why)
			}
		}
	}
}

func TestBlocked(t *testing.T) {
	nodes := map[string]Node{
		"up": {Unit: &Unit{Phase: Running, Ran: true}, Health: &Health{}}, "slow": {Unit: &Unit{Phase: Starting}, Health: &Health{}},
		"lost": {Unit: &Unit{Phase: Exited, Status: bad, Ran: true}, Health: &Health{}},
	}
	look := func(name string) (Node, bool) { n, ok := nodes[name]; return n, ok }
	for _, tc := range []struct {
		deps []Dependency
		want Verdict
		text string
	}{
		{nil, Good, ""},
		{[]Dependency{{"up", IsReady}, {"lost", IsStarted}, {"removed", IsReady}}, Good, ""},
		{[]Dependency{{"up", IsReady}, {"slow", IsStarted}}, Pending, "node slow: "},
		{[]Dependency{{"slow", IsStarted}, {"lost", HasExited}}, Failed, "node lost, which it depends on: "},
	} {
		if got, why := Blocked(tc.deps, look); got != tc.want || !strings.HasPrefix(why, tc.text) || (why == "") != (got == Good) {
			t.Errorf("%v: %d, %q", tc.deps, got, why)
		}
	}
}

func TestStopOrder(t *testing.T) {
	got := StopOrder([]string{"db", "web", "cache", "lone"}, map[string][]string{"web": {"db", "cache"}, "cache": {"db", "outside"}})
	if want := "[[web lone] [cache] [db]]"; fmt.Sprint(got) != want {
		t.Errorf("%v, not %s", got, want)
	}
}

// Every node once, users before what they use, and no group without need.
func TestStopOrderOfAnyLab(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []string
		deps := map[string][]string{}
		for i := range rapid.IntRange(0, 12).Draw(t, "nodes") {
			name := fmt.Sprintf("n%d", i)
			for _, d := range nodes { // on earlier ones alone: no circle
				if rapid.IntRange(0, 3).Draw(t, "dep") == 0 {
					deps[name] = append(deps[name], d)
				}
			}
			nodes = append(nodes, name)
		}
		shuffled := rapid.Permutation(nodes).Draw(t, "order")
		group := map[string]int{}
		for i, g := range StopOrder(shuffled, deps) {
			for _, n := range g {
				if _, twice := group[n]; twice {
					t.Fatalf("%s twice", n)
				}
				group[n] = i
			}
		}
		if len(group) != len(nodes) {
			t.Fatalf("%d of %d nodes", len(group), len(nodes))
		}
		for n, i := range group {
			needed := i == 0
			for user, list := range deps {
				if slices.Contains(list, n) {
					if group[user] >= i {
						t.Fatalf("%s is stopped with or before %s, which uses it", n, user)
					}
					needed = needed || group[user] == i-1
				}
			}
			if !needed {
				t.Fatalf("%s is stopped in group %d, which nobody asks for", n, i)
			}
		}
	})
}

// Whatever conditions an acyclic lab has, all its commands start when each starts, becomes ready and ends well.
func TestEverybodyStarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := map[string]Node{}
		deps := map[string][]Dependency{}
		for i := range rapid.IntRange(1, 10).Draw(t, "nodes") {
			name := fmt.Sprintf("n%d", i)
			for d := range nodes {
				if rapid.IntRange(0, 2).Draw(t, "dep") == 0 {
					deps[name] = append(deps[name], Dependency{d, Condition(rapid.IntRange(0, 2).Draw(t, "condition"))})
				}
			}
			nodes[name] = Node{Unit: NewUnit(Policy{}), Health: NewHealth(probe())}
		}
		look := func(name string) (Node, bool) { n, ok := nodes[name]; return n, ok }
		for round := 0; round <= len(nodes); round++ {
			left := 0
			for name, n := range nodes {
				if n.Unit.Phase != Waiting {
					continue
				}
				v, why := Blocked(deps[name], look)
				if v == Failed {
					t.Fatalf("%s: %s", name, why)
				}
				if v == Pending {
					left++
					continue
				}
				n.Unit.Launch()
				n.Unit.Started(at(round), 2)
				n.Health.Begin(at(round))
				n.Health.Result(at(round), true, "")
			}
			if left == 0 {
				return
			}
			for name, n := range nodes { // whoever somebody waits to end does so
				for _, list := range deps {
					if n.Unit.Phase == Running && slices.Contains(list, Dependency{name, HasExited}) {
						n.Unit.End(at(round), good, "")
						n.Health.State = NoCheck
					}
				}
			}
		}
		t.Fatal("some wait for ever")
	})
}
