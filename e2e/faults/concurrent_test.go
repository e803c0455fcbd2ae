package faults

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// FAULTS 4: of many ups of one lab one makes it.
func TestFault04_ManyUpsOfOneLab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := define(t, mixed(4))
		var all []*process
		for range 20 {
			all = append(all, launch(t, "up", r.file))
		}
		made, found := 0, 0
		for _, p := range all {
			code, out := p.end(t), p.out.String()
			switch {
			case code == 0 && strings.Contains(out, " is up: "):
				made++
			case code == 0 && strings.Contains(out, "is up already"):
				found++
			default:
				t.Errorf("exit code %d\n%s", code, out)
			}
		}
		if made != 1 || found != 19 {
			t.Errorf("%d made the lab, %d found it up", made, found)
		}
		r.sh("n0", "ping -n -c 1 -W 1 n1")

		var downs []*process
		for range 5 {
			downs = append(downs, launch(t, "down", r.name))
		}
		for _, p := range downs {
			if code := p.end(t); code != 0 {
				t.Errorf("down: exit code %d\n%s", code, p.out.String())
			}
		}
	})
}

func TestFault04_ManyLabsAtOnce(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		var labs []run
		for i := range 8 {
			// Each with a range of its own, for all legs are in one network namespace.
			text := strings.NewReplacer("10.80.", "10."+string(rune('1'+i))+".", "10.81.", "10.1"+string(rune('1'+i))+".", "fd00:80:", "fd00:8"+string(rune('1'+i))+":").Replace(mixed(3))
			labs = append(labs, define(t, text))
		}
		all := func(round int, args func(r run) []string) {
			var running []*process
			for _, r := range labs {
				running = append(running, launch(t, args(r)...))
			}
			for _, p := range running {
				if code := p.end(t); code != 0 {
					t.Errorf("round %d: %v: exit code %d\n%s", round, p.Args, code, p.out.String())
				}
			}
		}
		rounds := 3
		if full() {
			rounds = 50
		}
		for round := range rounds {
			all(round, func(r run) []string { return []string{"up", r.file} })
			for _, r := range labs {
				r.sh("n0", "ping -n -c 1 -W 1 n1 && ping -n -c 1 -W 1 "+r.status().Bridges[0].Addresses[0].Addr().String())
			}
			all(round, func(r run) []string { return []string{"down", r.name} })
			nothingLeft(t, before, "all down")
		}
		goal(t, 7, "8 labs, %d rounds", rounds)
	})
}

// A down that comes while up is at work waits for it, and then removes the lab.
func TestFault04_DownDuringUp(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		r := define(t, mixed(10))
		rnd := testenv.Random(t)
		for range 6 {
			up := launch(t, "up", r.file)
			for {
				if _, err := os.Stat("/run/nsnet/" + r.name + "/state.json"); err == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Duration(rnd.Int64N(int64(50 * time.Millisecond))))
			ps := launch(t, "ps")
			down := launch(t, "down", r.name)
			if code := up.end(t); code != 0 {
				t.Errorf("up: exit code %d\n%s", code, up.out.String())
			}
			if code := down.end(t); code != 0 {
				t.Errorf("down: exit code %d\n%s", code, down.out.String())
			}
			if code := ps.end(t); code != 0 {
				t.Errorf("ps: exit code %d\n%s", code, ps.out.String())
			}
			nothingLeft(t, before, "down during up")
		}
	})
}

func TestNoWait(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := start(t, "name: NAME\nnodes: {web: {}}\n")
		lock, err := os.OpenFile("/run/nsnet/"+r.name+"/lock", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		fails(t, testenv.Run(t, "up", "--no-wait", r.file), 8, r.name, "locked by another nsnet")
		fails(t, testenv.Run(t, "down", "--no-wait", r.name), 8, r.name, "locked by another nsnet")
		// Looking needs no lock.
		if got := r.sh("web", "hostname"); got != "web" {
			t.Errorf("hostname %q", got)
		}
		// One that waits can be interrupted.
		p := launch(t, "down", r.name)
		time.Sleep(200 * time.Millisecond)
		_ = p.Process.Signal(os.Interrupt)
		if code := p.end(t); code != 130 {
			t.Errorf("an interrupted wait: exit code %d\n%s", code, p.out.String())
		}
	})
}
