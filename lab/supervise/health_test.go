package supervise

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func probe() Probe {
	return Probe{Interval: 5 * time.Second, StartPeriod: 10 * time.Second, Retries: 2}
}

func due(t *testing.T, h *Health, ms int) {
	t.Helper()
	if !h.Due.Equal(at(ms)) {
		t.Fatalf("due at %d ms, not %d", h.Due.Sub(at(0))/time.Millisecond, ms)
	}
}

func state(t *testing.T, h *Health, want HealthState) {
	t.Helper()
	if h.State != want {
		t.Fatalf("%s, not %s", h.State, want)
	}
}

func TestHealth(t *testing.T) {
	h := NewHealth(probe())
	state(t, h, Checking)
	h.Reset(at(0))
	h.Begin(at(0))
	now := 0
	for _, wait := range []int{50, 100, 200, 400, 800, 1000, 1000} { // twice as long each time, a second at most
		due(t, h, now+wait)
		now += wait
		if h.Look(at(now-1)) || !h.Look(at(now)) || h.Look(at(now)) {
			t.Fatal("it is to be looked once, when it is due")
		}
		h.Result(at(now), false, "refused")
		state(t, h, Checking)
	}
	if h.Output != "refused" {
		t.Errorf("output %q", h.Output)
	}
	h.Result(at(now), true, "")
	state(t, h, Ready)
	due(t, h, now+5000)
	if h.Output != "" {
		t.Errorf("output %q", h.Output)
	}
	h.Result(at(now), false, "once")
	state(t, h, Ready)
	h.Result(at(now), true, "")
	h.Result(at(now), false, "once")
	state(t, h, Ready)
	h.Result(at(now), false, "twice") // the start period is for what was not ready yet
	state(t, h, Unhealthy)
	due(t, h, now+5000)
	h.Result(at(now), true, "")
	state(t, h, Ready)
}

// Whoever wants checks often has them often from the beginning.
func TestHealthShortInterval(t *testing.T) {
	p := probe()
	p.Interval = 80 * time.Millisecond
	h := NewHealth(p)
	h.Reset(at(0))
	h.Begin(at(0))
	due(t, h, 50)
	h.Result(at(50), false, "")
	due(t, h, 130)
	h.Result(at(130), false, "")
	due(t, h, 210)
}

func TestHealthStartPeriod(t *testing.T) {
	h := NewHealth(probe())
	h.Reset(at(0))
	h.Begin(at(0))
	for range 100 {
		h.Result(at(9999), false, "")
	}
	state(t, h, Checking)
	h.Result(at(10_000), false, "")
	state(t, h, Checking)
	h.Result(at(10_001), false, "late")
	state(t, h, Unhealthy)
	h.Result(at(10_002), true, "")
	state(t, h, Ready)
}

// A command that ends again and again has one start period for all its runs, unless it was ready.
func TestHealthOverRestarts(t *testing.T) {
	h := NewHealth(probe())
	h.Reset(at(0))
	h.Begin(at(0))
	h.End("exit code 1", true)
	state(t, h, Checking)
	due(t, h, 10_000)
	h.Begin(at(5000))
	due(t, h, 5050)
	h.End("exit code 1", true)
	due(t, h, 10_000)
	if h.Look(at(10_000)) {
		t.Error("nothing runs that could be looked at")
	}
	state(t, h, Unhealthy)
	if h.Output != "exit code 1" {
		t.Errorf("output %q", h.Output)
	}
	h.Begin(at(20_000))
	due(t, h, 20_050)
	h.Result(at(20_050), true, "")
	state(t, h, Ready)
	h.End("exit code 1", true)
	state(t, h, Checking)
	h.Begin(at(30_000))
	h.Result(at(39_000), false, "")
	h.Result(at(39_000), false, "")
	state(t, h, Checking)
	h.Result(at(40_001), false, "")
	h.Result(at(40_001), false, "")
	state(t, h, Unhealthy)
	h.Reset(at(50_000))
	state(t, h, Checking)
}

func TestHealthPassive(t *testing.T) {
	p := probe()
	p.Passive = true
	h := NewHealth(p)
	h.Reset(at(0))
	h.Begin(at(1))
	due(t, h, 10_000)
	if h.Look(at(10_000)) {
		t.Error("it is not looked")
	}
	state(t, h, Unhealthy)
	h.Result(at(10_100), true, "")
	state(t, h, Ready)
	if !h.Due.IsZero() {
		t.Errorf("due at %v", h.Due)
	}
}

func TestNoCheck(t *testing.T) {
	h := &Health{}
	h.Reset(at(0))
	h.Begin(at(0))
	h.Result(at(0), false, "x")
	h.End("x", true)
	h.Postpone(at(0))
	if h.State != NoCheck || !h.Due.IsZero() || h.State.String() != "" {
		t.Errorf("%+v", h)
	}
}

// A running command is looked at forever, an ended one not; an answer about an ended one counts for nothing.
func TestHealthAlwaysDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := NewHealth(Probe{Interval: time.Duration(rapid.IntRange(10, 9000).Draw(t, "interval")) * time.Millisecond,
			StartPeriod: time.Duration(rapid.IntRange(0, 9000).Draw(t, "period")) * time.Millisecond, Retries: rapid.IntRange(1, 4).Draw(t, "retries")})
		h.Reset(at(0))
		now, runs, busy := 0, false, false
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now += rapid.IntRange(0, 3000).Draw(t, "ms")
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				if !runs {
					h.Begin(at(now))
					runs, busy = true, false
				}
			case 1:
				if runs {
					h.End("end", rapid.Bool().Draw(t, "again"))
					runs = false
				}
			case 2:
				busy = h.Look(at(now)) || busy
			case 3:
				if busy {
					was := h.State
					h.Result(at(now), rapid.Bool().Draw(t, "good"), "x")
					busy = false
					if !runs && h.State != was {
						t.Fatal("an ended command has become something else")
					}
				}
			}
			if runs && !busy && h.Due.IsZero() {
				t.Fatalf("no look is to come: %+v", h)
			}
			if h.State == Ready && !runs {
				t.Fatal("ready without a command")
			}
		}
	})
}

// Who begins to wait has an unhealthy node found so once more: by as many checks as ever, of which those count that begin later.
func TestHealthDoubt(t *testing.T) {
	verdict := func(h *Health, u Unit, patient bool) Verdict {
		v, _ := Node{Unit: &u, Health: h, Patient: patient}.Readiness()
		return v
	}
	expect := func(what string, h *Health, want Verdict) {
		t.Helper()
		if got := verdict(h, Unit{Phase: Running}, false); got != want {
			t.Fatalf("%s: %d, not %d", what, got, want)
		}
	}
	p := probe()
	p.StartPeriod = 0
	h := NewHealth(p)
	h.Reset(at(0))
	h.Doubt(at(0))
	state(t, h, Checking)
	h.Begin(at(0))
	h.Result(at(50), false, "")
	h.Result(at(100), false, "")
	expect("unhealthy", h, Failed)
	h.Doubt(at(110))
	state(t, h, Unhealthy)
	expect("in doubt", h, Pending)
	h.Result(at(200), false, "")
	expect("one check", h, Pending)
	h.Result(at(300), false, "")
	expect("both checks", h, Failed)
	// One that is under way looks at what was before.
	now := int(h.Due.Sub(at(0)) / time.Millisecond)
	if !h.Look(at(now)) {
		t.Fatal("no check is due")
	}
	h.Doubt(at(now))
	h.Result(at(now), false, "")
	h.Result(at(now), false, "")
	expect("an early check and one", h, Pending)
	h.Result(at(now), false, "")
	expect("an early check and two", h, Failed)
	h.Doubt(at(now))
	h.Result(at(now), true, "")
	expect("a good one", h, Good)
	h.Result(at(now), false, "")
	h.Result(at(now), false, "")
	expect("unhealthy again", h, Failed)

	// Who waits until a time of its own has it find itself, for as long as something is to come.
	for phase, want := range map[Phase]Verdict{Running: Pending, BackingOff: Pending, Starting: Pending, Idle: Pending, Stopped: Failed, Dead: Failed} {
		if got := verdict(h, Unit{Phase: phase}, true); got != want {
			t.Errorf("phase %d: %d, not %d", phase, got, want)
		}
	}

	// What is told, and not looked at, has another start period.
	passive := NewHealth(Probe{StartPeriod: time.Second, Retries: 1, Passive: true})
	passive.Reset(at(0))
	passive.Begin(at(0))
	passive.Look(at(1000))
	expect("no line", passive, Failed)
	passive.Doubt(at(5000))
	due(t, passive, 6000)
	expect("no line, in doubt", passive, Pending)
	passive.Look(at(6000))
	expect("no line again", passive, Failed)
	passive.Doubt(at(7000))
	passive.Result(at(7500), true, "")
	expect("the line", passive, Good)
}
