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
