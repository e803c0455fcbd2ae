package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/nsnet/nsnet/attach/worker"
	"github.com/nsnet/nsnet/internal/testenv"
)

// scriptOf is what would be done for a request, with its record written.
func scriptOf(t *testing.T, q *Request) (*attachment, *Record, script, func()) {
	t.Helper()
	j, err := openJournal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tg, err := pin(t.Context(), q.Target)
	if err != nil {
		t.Fatal(err)
	}
	a := &attachment{q: q, journal: j, target: tg}
	if err := errors.Join(a.surveyTarget(t.Context()), a.surveyFar()); err != nil {
		t.Fatal(err)
	}
	who, err := draw()
	if err != nil {
		t.Fatal(err)
	}
	r, err := decide(q, &a.o, who)
	if err != nil {
		t.Fatal(err)
	}
	r.Target, r.state = tg.place, attaching
	if a.peer != nil {
		r.Peer = &a.peer.place
	}
	if err := j.write(r); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(j.dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.NIC != nil {
		if err := j.hold(r, tg.netns); err != nil {
			t.Fatal(err)
		}
	}
	s, err := r.acts(&handles{target: tg.netns, far: a.far, dir: dir}, &a.o)
	if err != nil {
		t.Fatal(err)
	}
	return a, r, s, func() {
		_ = dir.Close()
		a.close()
		tg.close()
		j.close()
	}
}

// do carries a script out the way attach does.
func (a *attachment) do(s script) error {
	return s.carryOut(context.Background(), a.target.netns, a.far, a.journal.lock)
}

// A worker that is killed after any number of its acts has done a part of them. The next
// command takes that back, and the host and the containers are as before.
func TestKilledAfterEachAct(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := s.all()
		for name, q := range s.forms() {
			for k, last := 0, false; !last; k++ {
				a, _, acts, done := scriptOf(t, q)
				last = k == len(acts)-1 // all is done but completing the record
				err := a.do(acts[:k])
				done()
				if err != nil {
					t.Fatalf("%s: the first %d acts: %v", name, k, err)
				}
				if err := Sweep(t.Context()); err != nil {
					t.Errorf("%s: sweep after %d of %d acts: %v", name, k, len(acts), err)
				}
				equal(t, fmt.Sprintf("%s, killed after %d of %d acts", name, k, len(acts)), s.all(), before)
			}
		}
		if list, err := List(t.Context()); err != nil || len(list) > 0 {
			t.Errorf("records are left: %+v, %v", list, err)
		}
	})
}

// An act that the kernel refuses has everything before it taken back, by the worker itself.
func TestRefusedAtEachAct(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := s.all()
		for name, q := range s.forms() {
			for k, last := 0, false; !last; k++ {
				a, r, acts, done := scriptOf(t, q)
				last = k == len(acts)-1 // behind the last act there is nothing to refuse
				bad := act{worker.Act{Do: worker.Step{Kind: worker.Write, FD: int(a.target.netns.Fd()), Data: []byte("x")}}, []string{"what nobody can"}}
				err := a.do(slices.Insert(slices.Clone(acts), k, bad))
				var refused *actError
				if !errors.As(err, &refused) || refused.label != "what nobody can" || !refused.undone {
					t.Errorf("%s, refused at act %d of %d: %v", name, k, len(acts), err)
				}
				if err := a.journal.forget(r); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				done()
				equal(t, fmt.Sprintf("%s, refused at act %d of %d", name, k, len(acts)), s.all(), before)
			}
		}
	})
}

// Who waits for a worker gives up on a signal; the worker does not.
func TestWorkerIsLeft(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		ends, held, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer ends.Close()
		file, err := memfile([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("somebody has stopped it")
		cancel(stopped)
		s := script{{worker.Act{Do: worker.Step{Kind: worker.Write, FD: int(file.Fd()), Data: []byte("done")}}, []string{"write"}}}
		err = s.carryOutIn(ctx, 0, file, held)
		_ = held.Close()
		if !errors.Is(err, stopped) || !errors.Is(err, errLeft) {
			t.Errorf("it says %v", err)
		}
		_, _ = io.Copy(io.Discard, ends) // until the worker has ended
		b := make([]byte, 9)
		if n, err := file.ReadAt(b, 0); !errors.Is(err, io.EOF) || string(b[:n]) != "done" {
			t.Errorf("the worker has written %q, %v", b[:n], err)
		}
	})
}
