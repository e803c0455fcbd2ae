package supervise

import (
	"syscall"
	"testing"
)

// checked is a node with a check whose command runs since 0.
func checked(t *testing.T, p Policy) Node {
	t.Helper()
	n := Node{Unit: running(t, p), Health: NewHealth(probe())}
	n.Health.Reset(at(0))
	n.Health.Begin(at(0))
	return n
}

func verdict(t *testing.T, n Node, want Verdict) {
	t.Helper()
	if got, why := n.Readiness(); got != want {
		t.Fatalf("%d, not %d: %s", got, want, why)
	}
}

var ask = []Action{{Ask: true}}

// A command that has ended with exit code 0 is checked for as long as something is left of it.
func TestBackground(t *testing.T) {
	n := checked(t, Policy{})
	expect(t, "end", n.Unit, n.End(at(10), good, ""), ask, Exited)
	verdict(t, n, Pending)
	expect(t, "left", n.Unit, n.Remain([]int{7, 8}), nil, Exited)
	due(t, n.Health, 50)
	if !n.Health.Look(at(50)) {
		t.Fatal("it is not looked at")
	}
	n.Health.Result(at(50), false, "refused")
	verdict(t, n, Pending)
	n.Health.Result(at(150), true, "")
	verdict(t, n, Good)
	due(t, n.Health, 5150)
	n.Health.Result(at(20_000), false, "gone")
	n.Health.Result(at(20_001), false, "gone")
	verdict(t, n, Failed)
	n.Health.Result(at(20_002), true, "")
	verdict(t, n, Good)
	expect(t, "nothing is left", n.Unit, n.Remain(nil), nil, Exited)
	verdict(t, n, Failed)
	if !n.Health.Due.IsZero() || n.Health.Goes() || n.Health.Output != "the command has ended with exit code 0" {
		t.Errorf("%+v", n.Health)
	}
}

// Its start period is as that of a command in the foreground.
func TestBackgroundStartPeriod(t *testing.T) {
	n := checked(t, Policy{})
	n.End(at(10), good, "")
	n.Health.Result(at(9999), false, "")
	n.Health.Result(at(9999), false, "")
	verdict(t, n, Pending)
	n.Health.Result(at(10_000), false, "")
	n.Health.Result(at(10_001), false, "")
	verdict(t, n, Failed)
}

// Nobody asks what is left where it makes no difference.
func TestBackgroundIsAskedOnlyOfWhoMayGoOn(t *testing.T) {
	for name, tc := range map[string]struct {
		node   Node
		status syscall.WaitStatus
		reason string
		want   []Action
		phase  Phase
	}{
		"no check":          {Node{Unit: running(t, Policy{}), Health: &Health{}}, good, "", nil, Exited},
		"failed":            {checked(t, Policy{}), bad, "", nil, Exited},
		"not started":       {checked(t, Policy{}), 127 << 8, "no such file", nil, Exited},
		"started again":     {checked(t, Policy{Mode: Always}), good, "", termAll, Stopping},
		"again if it fails": {checked(t, Policy{Mode: OnFailure}), good, "", ask, Exited},
	} {
		expect(t, name, tc.node.Unit, tc.node.End(at(10), tc.status, tc.reason), tc.want, tc.phase)
		if going := len(tc.want) == 1 && tc.want[0].Ask; tc.node.Health.Goes() != going {
			t.Errorf("%s: checked %v", name, !going)
		}
	}
}

// What is asked for while the answer is on its way counts for the stop.
func TestBackgroundStop(t *testing.T) {
	n := checked(t, Policy{})
	n.End(at(10), good, "")
	expect(t, "stop", n.Unit, n.Unit.Stop(at(20), DefaultGrace), termAll, Stopping)
	expect(t, "left", n.Unit, n.Remain([]int{7}), nil, Stopping)
	expect(t, "none", n.Unit, n.Remain(nil), nil, Stopped)
	verdict(t, n, Failed)
}

// A check that is new in the file looks at what an ended command has left, too.
func TestRecheck(t *testing.T) {
	ended := func(s syscall.WaitStatus) *Unit {
		u := running(t, Policy{})
		u.End(at(10), s, "")
		return u
	}
	for name, tc := range map[string]struct {
		unit *Unit
		want []Action
		goes bool
	}{
		"running": {running(t, Policy{}), nil, true},
		"idle":    {&Unit{}, nil, true},
		"waiting": {NewUnit(Policy{}), nil, false},
		"ended":   {ended(good), ask, true},
		"failed":  {ended(bad), nil, false},
	} {
		n := Node{Unit: tc.unit, Health: NewHealth(probe())}
		expect(t, name, tc.unit, n.Recheck(at(100)), tc.want, tc.unit.Phase)
		if n.Health.Goes() != tc.goes {
			t.Errorf("%s: checked %v", name, n.Health.Goes())
		}
	}
}
