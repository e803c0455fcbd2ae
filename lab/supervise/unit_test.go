package supervise

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// at is a time in milliseconds of a test.
func at(ms int) time.Time { return time.Unix(1_000_000, 0).Add(time.Duration(ms) * time.Millisecond) }

const second = 1000

var (
	start   = []Action{{Start: true}}
	term    = []Action{{Signal: syscall.SIGTERM}}
	termAll = []Action{{Signal: syscall.SIGTERM, All: true}}
	killAll = []Action{{Signal: syscall.SIGKILL, All: true}}
)

const (
	good = syscall.WaitStatus(0)
	bad  = syscall.WaitStatus(3 << 8)
)

// expect fails the test unless a step gave these actions and left the unit in this phase.
func expect(t *testing.T, what string, u *Unit, got, want []Action, phase Phase) {
	t.Helper()
	if !slices.Equal(got, want) || u.Phase != phase {
		t.Fatalf("%s: %+v in phase %d (%s), want %+v in %d", what, got, u.Phase, u.State(), want, phase)
	}
}

// running is a unit whose command runs since 0.
func running(t *testing.T, p Policy) *Unit {
	t.Helper()
	u := NewUnit(p)
	expect(t, "launch", u, u.Launch(), start, Starting)
	u.Started(at(0), 2)
	expect(t, "started", u, nil, nil, Running)
	return u
}

func TestExitWithoutPolicy(t *testing.T) {
	for _, status := range []syscall.WaitStatus{good, bad, 9} {
		u := running(t, Policy{})
		expect(t, "end", u, u.End(at(5), status, ""), nil, Exited)
		if u.PID != 0 || u.Status != status || !u.Deadline.IsZero() || u.Restarting() {
			t.Errorf("%+v", u)
		}
	}
}

func TestStopSequence(t *testing.T) {
	u := running(t, Policy{Mode: Always})
	expect(t, "stop", u, u.Stop(at(0), 10*time.Second), term, Stopping)
	expect(t, "left", u, u.Remain([]int{2, 3}), nil, Stopping)
	expect(t, "the command ends", u, u.End(at(100), good, ""), termAll, Stopping)
	expect(t, "left", u, u.Remain([]int{3}), nil, Stopping)
	expect(t, "too early", u, u.Tick(at(9999)), nil, Stopping)
	expect(t, "grace is over", u, u.Tick(at(10*second)), killAll, Stopping)
	expect(t, "left", u, u.Remain([]int{3}), nil, Stopping)
	expect(t, "it does not die", u, u.Tick(at(15*second)), nil, Stopping)
	if !u.Stuck || !slices.Equal(u.Left, []int{3}) || !u.Deadline.IsZero() {
		t.Fatalf("%+v", u)
	}
	expect(t, "at last", u, u.Remain(nil), nil, Stopped)
	if u.Stuck || u.Restarting() || u.Active() {
		t.Errorf("%+v", u)
	}
	expect(t, "once more", u, u.Stop(at(20*second), 0), nil, Stopped)
	expect(t, "a late answer", u, u.Remain([]int{}), nil, Stopped)
	expect(t, "start", u, u.Start(at(20*second), false), start, Starting)
}

// An init that says nothing is not one that has nothing left, whatever it said before.
func TestStopUnanswered(t *testing.T) {
	u := running(t, Policy{})
	expect(t, "stop", u, u.Stop(at(0), 10*time.Second), term, Stopping)
	expect(t, "left", u, u.Remain([]int{2}), nil, Stopping)
	expect(t, "grace is over", u, u.Tick(at(10*second)), killAll, Stopping)
	if u.Silent() {
		t.Errorf("silent before its time: %+v", u)
	}
	expect(t, "no word", u, u.Tick(at(15*second)), nil, Stopping)
	if !u.Stuck || !u.Silent() {
		t.Errorf("not silent: %+v", u)
	}
	expect(t, "a word", u, u.Remain([]int{2}), nil, Stopping)
	if !u.Stuck || u.Silent() {
		t.Errorf("silent after a word: %+v", u)
	}
}

// An empty answer that has overtaken the command's end does not finish anything.
// A command is asked to end by its own signal; what it has left, and what is over time, by the usual ones.
func TestStopSignal(t *testing.T) {
	quit := []Action{{Signal: syscall.SIGQUIT}}
	u := running(t, Policy{})
	u.Signal = syscall.SIGQUIT
	expect(t, "stop", u, u.Stop(at(0), 10*time.Second), quit, Stopping)
	expect(t, "end", u, u.End(at(1), good, ""), termAll, Stopping)
	expect(t, "none left", u, u.Remain(nil), nil, Stopped)

	u = running(t, Policy{})
	u.Signal = syscall.SIGQUIT
	expect(t, "restart", u, u.Restart(at(0), time.Second), quit, Stopping)
	expect(t, "over time", u, u.Tick(at(second)), killAll, Stopping)
}

func TestRemainWaitsForTheEnd(t *testing.T) {
	u := running(t, Policy{})
	u.Stop(at(0), time.Second)
	expect(t, "empty too early", u, u.Remain(nil), nil, Stopping)
	expect(t, "end", u, u.End(at(1), good, ""), termAll, Stopping)
	expect(t, "empty", u, u.Remain(nil), nil, Stopped)
}

func TestStopWithNoGrace(t *testing.T) {
	u := running(t, Policy{})
	u.Stop(at(0), 0)
	expect(t, "at once", u, u.Tick(at(0)), killAll, Stopping)
	expect(t, "end", u, u.End(at(1), 9, ""), nil, Stopping)
	expect(t, "gone", u, u.Remain(nil), nil, Stopped)
}

func TestSecondStopIsQuicker(t *testing.T) {
	u := running(t, Policy{})
	u.Stop(at(0), time.Hour)
	u.Stop(at(10), time.Second)
	if !u.Deadline.Equal(at(1010)) {
		t.Errorf("due at %v", u.Deadline)
	}
	u.Stop(at(20), time.Hour)
	if !u.Deadline.Equal(at(1010)) {
		t.Errorf("a longer one is due at %v", u.Deadline)
	}
}

func TestRestart(t *testing.T) {
	u := running(t, Policy{})
	expect(t, "restart", u, u.Restart(at(0), time.Second), term, Stopping)
	if u.State() != "restarting" || u.Restarting() {
		t.Errorf("state %s", u.State())
	}
	u.End(at(1), good, "")
	expect(t, "nobody is left", u, u.Remain(nil), start, Starting)
	// Of what does not run, it is a start.
	u = running(t, Policy{})
	u.End(at(1), bad, "")
	expect(t, "of an exited one", u, u.Restart(at(2), time.Second), termAll, Stopping)
	expect(t, "which has left nobody", u, u.Remain(nil), start, Starting)
}

func TestStopDuringRestart(t *testing.T) {
	u := running(t, Policy{})
	u.Restart(at(0), time.Second)
	u.Stop(at(1), time.Second)
	u.End(at(1), good, "")
	expect(t, "nobody is left", u, u.Remain(nil), nil, Stopped)
	u = running(t, Policy{})
	u.Stop(at(0), time.Second)
	u.Start(at(1), false)
	u.End(at(1), good, "")
	expect(t, "start has the last word", u, u.Remain(nil), start, Starting)
}

func TestBackOff(t *testing.T) {
	u := running(t, Policy{Mode: OnFailure})
	now := 0
	for i, delay := range []int{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60_000, 60_000} {
		expect(t, "end", u, u.End(at(now), bad, ""), termAll, Stopping)
		if !u.Restarting() || u.State() != "restarting" || !u.Retry().Equal(at(now+delay)) {
			t.Fatalf("restart %d: at %v, want %v", i, u.Retry(), at(now+delay))
		}
		expect(t, "nobody left", u, u.Remain(nil), nil, BackingOff)
		expect(t, "too early", u, u.Tick(at(now+delay-1)), nil, BackingOff)
		now += delay
		expect(t, "due", u, u.Tick(at(now)), start, Starting)
		u.Started(at(now), 7)
		if u.Restarts != i+1 {
			t.Fatalf("%d restarts, not %d", u.Restarts, i+1)
		}
	}
	// After a steady run it begins anew.
	now += 10 * second
	u.End(at(now), bad, "")
	if !u.Retry().Equal(at(now + 100)) {
		t.Errorf("after a steady run at %v", u.Retry())
	}
	// Success ends it.
	u.Remain(nil)
	u.Tick(at(now + 100))
	u.Started(at(now+100), 7)
	expect(t, "success", u, u.End(at(now+200), good, ""), nil, Exited)
}

func TestLimitOfRestarts(t *testing.T) {
	u := running(t, Policy{Mode: OnFailure, Max: 2})
	for range 2 {
		u.End(at(0), bad, "")
		u.Remain(nil)
		u.Tick(at(1000))
		u.Started(at(1000), 2)
	}
	expect(t, "the third", u, u.End(at(1001), bad, ""), nil, Exited)
	if u.Restarts != 2 {
		t.Errorf("%d restarts", u.Restarts)
	}
	expect(t, "start", u, u.Start(at(2000), false), termAll, Stopping)
	expect(t, "start", u, u.Remain(nil), start, Starting)
	u.Started(at(2000), 2)
	u.End(at(2001), bad, "")
	if !u.Restarting() || u.Restarts != 0 {
		t.Errorf("a start by request does not begin anew: %+v", u)
	}
}

// A command that could not be started is tried again, too.
func TestStartFails(t *testing.T) {
	u := NewUnit(Policy{Mode: Always})
	u.Launch()
	expect(t, "failure", u, u.End(at(0), 127<<8, "x: no such file"), termAll, Stopping)
	u.Remain(nil)
	expect(t, "due", u, u.Tick(at(100)), start, Starting)
	if u.Reason != "" || u.Ran {
		t.Errorf("%+v", u)
	}
	u = NewUnit(Policy{})
	u.Launch()
	expect(t, "failure", u, u.End(at(0), 127<<8, "x: no such file"), nil, Exited)
	if u.Reason != "x: no such file" {
		t.Errorf("reason %q", u.Reason)
	}
}

func TestStopEndsBackOff(t *testing.T) {
	for _, when := range []string{"while backing off", "while what is left ends"} {
		u := running(t, Policy{Mode: Always})
		u.End(at(0), good, "")
		if when == "while backing off" {
			u.Remain(nil)
			expect(t, when, u, u.Stop(at(1), time.Second), nil, Stopped)
		} else {
			u.Stop(at(1), time.Second)
			expect(t, when, u, u.Remain(nil), nil, Stopped)
		}
		expect(t, "later", u, u.Tick(at(100*second)), nil, Stopped)
	}
}

func TestAwait(t *testing.T) {
	u := running(t, Policy{})
	u.End(at(0), good, "")
	expect(t, "start in order", u, u.Start(at(1), true), termAll, Stopping)
	expect(t, "nobody left", u, u.Remain(nil), nil, Waiting)
	if u.Ran {
		t.Error("it has run, as far as others are concerned")
	}
	expect(t, "released", u, u.Launch(), start, Starting)
	u = NewUnit(Policy{})
	expect(t, "stop of one that waits", u, u.Stop(at(0), time.Second), nil, Stopped)
	expect(t, "it is not launched", u, u.Launch(), nil, Stopped)
	expect(t, "start in order", u, u.Start(at(1), true), nil, Waiting)
	expect(t, "start at once", u, u.Start(at(1), false), start, Starting)
}

func TestDie(t *testing.T) {
	u := running(t, Policy{Mode: Always})
	u.Stop(at(0), time.Second)
	u.Die()
	for what, actions := range map[string][]Action{
		"stop": u.Stop(at(1), 0), "start": u.Start(at(1), false), "restart": u.Restart(at(1), 0), "launch": u.Launch(),
		"end": u.End(at(1), 9, ""), "remain": u.Remain(nil), "tick": u.Tick(at(100 * second)),
	} {
		expect(t, what, u, actions, nil, Dead)
	}
}

func TestPolicy(t *testing.T) {
	for _, tc := range []struct {
		p        Policy
		failed   bool
		restarts int
		want     bool
	}{
		{Policy{}, true, 0, false},
		{Policy{Mode: OnFailure}, true, 1000, true},
		{Policy{Mode: OnFailure}, false, 0, false},
		{Policy{Mode: OnFailure, Max: 3}, true, 2, true},
		{Policy{Mode: OnFailure, Max: 3}, true, 3, false},
		{Policy{Mode: Always}, false, 1000, true},
		{Policy{Mode: Always}, true, 0, true},
	} {
		if got := tc.p.Again(tc.failed, tc.restarts); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1<<20).Draw(t, "restarts")
		if d, next := Delay(n), Delay(n+1); d < FirstDelay || next < d || next > MaxDelay || next != min(2*d, MaxDelay) {
			t.Fatalf("after %d restarts %v, then %v", n, d, next)
		}
	})
}

// TestAnyLife: whatever happens in whatever order, a command is never started while it or what it has left is there, a
// stop holds until a request to start, and while something is to come by itself there is a deadline or somebody to answer.
func TestAnyLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := NewUnit(Policy{Mode: Mode(rapid.IntRange(0, 2).Draw(t, "mode")), Max: rapid.IntRange(0, 2).Draw(t, "max")})
		now, alive, children, asked, stopped := 0, false, 0, false, false
		grace := func() time.Duration {
			return time.Duration(rapid.IntRange(0, 3).Draw(t, "grace")) * time.Second
		}
		left := func() []int {
			var pids []int
			if alive {
				pids = append(pids, 2)
			}
			for i := range children {
				pids = append(pids, 10+i)
			}
			return pids
		}
		var do func(actions []Action)
		do = func(actions []Action) {
			for _, a := range actions {
				if asked && a.Signal != 0 { // the node's init does one thing after the other
					asked, alive = false, true
					u.Started(at(now), 2)
				}
				switch {
				case a.Start:
					if alive || children > 0 && u.Restarts > 0 {
						t.Fatalf("started with %v there", left())
					}
					if stopped {
						t.Fatal("started after a stop")
					}
					asked = true
				case a.Signal == syscall.SIGKILL:
					children = 0
					if alive {
						alive = false
						do(u.End(at(now), 9, ""))
					}
					do(u.Remain(left()))
				default:
					do(u.Remain(left()))
				}
			}
		}
		do(u.Launch())
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now += rapid.IntRange(0, 5000).Draw(t, "ms")
			switch rapid.SampledFrom([]string{"forked", "failed", "ended", "child", "child ends", "stop", "start", "restart", "await", "released", "tick"}).Draw(t, "event") {
			case "forked":
				if asked {
					asked, alive = false, true
					u.Started(at(now), 2)
				}
			case "failed":
				if asked {
					asked = false
					do(u.End(at(now), 127<<8, "none"))
				}
			case "ended":
				if alive {
					alive = false
					do(u.End(at(now), syscall.WaitStatus(rapid.IntRange(0, 1).Draw(t, "code")<<8), ""))
					do(u.Remain(left()))
				}
			case "child":
				if alive {
					children++
				}
			case "child ends":
				if children > 0 {
					children--
					do(u.Remain(left()))
				}
			case "stop":
				stopped = true
				do(u.Stop(at(now), grace()))
			case "start":
				stopped = false
				do(u.Start(at(now), false))
			case "restart":
				stopped = false
				do(u.Restart(at(now), grace()))
			case "await":
				stopped = false
				do(u.Start(at(now), true))
			case "released":
				do(u.Launch())
			case "tick":
				if !u.Deadline.IsZero() {
					if d := int(u.Deadline.Sub(at(0)) / time.Millisecond); d > now {
						now = d
					}
				}
				do(u.Tick(at(now)))
			}
			switch {
			case u.Phase == Stopping && u.Deadline.IsZero() && !u.Stuck, u.Phase == BackingOff && u.Deadline.IsZero():
				t.Fatalf("nothing is to come: %+v", u)
			case u.Phase == Stopped && (alive || children > 0):
				t.Fatalf("stopped with %v there", left())
			case (u.PID != 0) != alive:
				t.Fatalf("pid %d, alive %v", u.PID, alive)
			case stopped && u.Active() && u.Phase != Stopping:
				t.Fatalf("active after a stop: %+v", u)
			case u.Policy.Mode == OnFailure && u.Policy.Max > 0 && u.inRow > u.Policy.Max:
				t.Fatalf("%d restarts in a row of %d", u.inRow, u.Policy.Max)
			}
		}
	})
}
