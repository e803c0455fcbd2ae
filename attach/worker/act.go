package worker

import "github.com/nsnet/nsnet/container/wire"

// Kind is what a step does.
type Kind uint64

// The steps.
const (
	// Netlink sends Data, rtnetlink requests, in the network namespace that descriptor FD is
	// of, and waits for the answer to each.
	Netlink Kind = iota + 1
	// Sysctl writes Data into the file Path, in the network namespace that FD is of. Where there
	// is no such file there is nothing to do: the kernel has no IPv6.
	Sysctl
	// Write makes Data the content of the open file FD.
	Write
	// Create makes the file Path of the directory FD, on behalf of the directory's owner, with Data in it.
	Create
	// Remove removes it again, if what is in it is Data or its beginning.
	Remove
	// Rename renames the file Path of the directory FD to Data.
	Rename
)

// Fail stands for a step that a test wants to fail, see internal/failpoint. Only a worker that was built for that knows it.
const Fail Kind = 1 << 16 // FD: the error; Data, if any: the worker ends

// Step is one thing to do.
type Step struct {
	Kind Kind
	FD   int
	Path string
	Data []byte
}

// Act is a step, and what takes it back. Undo is done whether the step was done wholly or
// in part, and what it finds missing is no failure.
type Act struct {
	Do   Step
	Undo []Step
}

// Outcome is what a worker reports. Errno 0 is success.
type Outcome struct {
	Act     int    // which was refused
	Request int    // of a Netlink step, which of its requests
	Errno   uint64 // why
	Detail  string // the kernel's own words, where it has any
	Undone  bool   // everything was taken back
}

// Encode makes the list that a worker reads.
func Encode(acts []Act) []byte {
	var w wire.Writer
	w.Uint(uint64(len(acts)))
	for i := range acts {
		acts[i].Do.encode(&w)
		w.Uint(uint64(len(acts[i].Undo)))
		for j := range acts[i].Undo {
			acts[i].Undo[j].encode(&w)
		}
	}
	return w.Bytes()
}

func (s *Step) encode(w *wire.Writer) {
	w.Uint(uint64(s.Kind))
	w.Uint(uint64(s.FD))
	w.String(s.Path)
	w.String(string(s.Data))
}

// decode takes what Encode made; ok is false for anything else.
func decode(b []byte) (acts []Act, ok bool) {
	r := wire.NewReader(b)
	for n := r.Uint(); n > 0 && !r.Bad; n-- {
		a := Act{Do: decodeStep(r)}
		for m := r.Uint(); m > 0 && !r.Bad; m-- {
			a.Undo = append(a.Undo, decodeStep(r))
		}
		acts = append(acts, a)
	}
	return acts, !r.Bad && !r.More()
}

func decodeStep(r *wire.Reader) Step {
	return Step{Kind: Kind(r.Uint()), FD: int(r.Uint()), Path: r.String(), Data: []byte(r.String())}
}

func (o *Outcome) encode() []byte {
	var w wire.Writer
	w.Uint(uint64(o.Act))
	w.Uint(uint64(o.Request))
	w.Uint(o.Errno)
	w.String(o.Detail)
	undone := uint64(0)
	if o.Undone {
		undone = 1
	}
	w.Uint(undone)
	return w.Bytes()
}

// DecodeOutcome takes a worker's report; ok is false when it has made none, or not all of it.
func DecodeOutcome(b []byte) (o Outcome, ok bool) {
	r := wire.NewReader(b)
	o = Outcome{Act: int(r.Uint()), Request: int(r.Uint()), Errno: r.Uint(), Detail: r.String(), Undone: r.Uint() == 1}
	return o, !r.Bad && !r.More()
}
