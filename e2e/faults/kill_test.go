package faults

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
)

// built tells whether the lab's record says that it was made: from then on it lives without up.
func (r run) built() bool {
	var record struct{ Built bool }
	b, err := os.ReadFile("/run/nsnet/" + r.name + "/state.json")
	return err == nil && json.Unmarshal(b, &record) == nil && record.Built
}

// duration measures up.
func (r run) duration() time.Duration {
	r.t.Helper()
	var all []time.Duration
	for range 3 {
		start := time.Now()
		testenv.Must(r.t, "up", r.file)
		all = append(all, time.Since(start))
		testenv.Must(r.t, "down", r.name)
	}
	slices.Sort(all)
	r.t.Logf("up takes %s", all[1])
	return all[1]
}

// FAULTS 1: the kernel removes all that is left of a killed up but files, control groups and
// sysctls, which the next command removes.
func TestFault01_UpKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	kills := 50
	if full() {
		kills = 200
	}
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, mixed(10))
		rnd := testenv.Random(t)
		whole := r.duration()
		before := snapshot(t)
		survived := 0
		for i := 0; i < kills; i++ {
			if survived > 2*kills {
				t.Fatalf("%d kills came too late", survived)
			}
			at := time.Duration(rnd.Int64N(int64(whole)))
			p := launch(t, "up", r.file)
			time.Sleep(at)
			_ = p.Process.Kill()
			code := p.end(t)
			when := "killed after " + at.String()
			if r.built() {
				// The record is written before the commitment: either is right, half a lab is not.
				if s := r.status(); s.State == "running" {
					survived++
					i--                      // that was none
					whole = (whole + at) / 2 // it took less than that
					if got := r.sh("n0", "ping -n -c 1 -W 1 n1 >/dev/null && echo whole"); got != "whole" {
						t.Errorf("%s: half a lab: %s", when, got)
					}
					testenv.Must(t, "down", r.name)
					nothingLeft(t, before, when+", down")
					continue
				}
			}
			if code != 137 {
				t.Errorf("%s: exit code %d\n%s", when, code, p.out.String())
			}
			whole += whole / 100 // nearly all it takes: other tests come and go on this machine
			nothingLeft(t, before, when, onNextCommand()...)
			if i%2 == 0 {
				testenv.Must(t, "ps")
			} else {
				testenv.Run(t, "exec", r.name+"/n0", "true")
			}
			nothingLeft(t, before, when+", one more command")
		}
		t.Logf("%d more came too late", survived)
		goal(t, 1, "%d random kills", kills)
	})
}

func TestUpInterruptedAtAnyMoment(t *testing.T) {
	t.Parallel()
	const interrupts = 15
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, mixed(10))
		rnd := testenv.Random(t)
		whole := r.duration()
		before := snapshot(t)
		for range interrupts {
			at := time.Duration(rnd.Int64N(int64(whole)))
			p := launch(t, "up", r.file)
			time.Sleep(at)
			_ = p.Process.Signal(syscall.SIGINT)
			code := p.end(t)
			when := "interrupted after " + at.String()
			if strings.Contains(p.out.String(), " is up: ") {
				whole = (whole + at) / 2
				testenv.Must(t, "down", r.name)
			} else if code != 130 {
				t.Errorf("%s: exit code %d\n%s", when, code, p.out.String())
			}
			nothingLeft(t, before, when)
		}
	})
}

// FAULTS 3.
func TestFault03_DownKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		r := define(t, mixed(10))
		rnd := testenv.Random(t)
		testenv.Must(t, "up", r.file)
		since := time.Now()
		testenv.Must(t, "down", r.name)
		whole := time.Since(since)
		for range 10 {
			testenv.Must(t, "up", r.file)
			at := time.Duration(rnd.Int64N(int64(whole)))
			p := launch(t, "down", r.name)
			time.Sleep(at)
			_ = p.Process.Kill()
			p.end(t)
			testenv.Must(t, "down", r.name)
			nothingLeft(t, before, "killed after "+at.String()+", down again")
		}
	})
}
