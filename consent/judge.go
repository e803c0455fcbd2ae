package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/nsnet/nsnet/topology"
)

// Given is what a caller allows a file. The zero value allows nothing.
type Given struct {
	Kinds []topology.AskKind // everything of these kinds that the file asks for
	All   bool               // everything that it asks for
}

// allows reports whether a thing is among what is given.
func (g Given) allows(a topology.Ask) bool { return g.All || slices.Contains(g.Kinds, a.Kind) }

// Reason says why a file may have what it asks for.
type Reason string

// The reasons; the empty one is that it may not.
const (
	ByCaller Reason = "allowed"
	Before   Reason = "allowed before"
	ByTrust  Reason = "trusted"
)

// Answer is one thing that a file asks for, where it does so, and why it may have it.
type Answer struct {
	topology.Ask
	At  topology.Error
	Why Reason
}

// Verdict is the answer to all that a file asks for, in its order. Note is what the user should know of the machine's settings, and mostly
// empty.
type Verdict struct {
	Answers []Answer
	Note    string
}

// Host is where a machine keeps what was allowed, and its setting of what it trusts.
type Host struct {
	Store   Store
	Setting string
}

// This is the machine that the program runs on.
func This() Host { return Host{StoreIn(Dir), Setting} }

// Judge decides what a lab may have of what it asks for. Nothing is read of the disk for a lab that asks for nothing, or for
// nothing but what is given. Errors are those of [Store.Of].
func (h Host) Judge(l *topology.Lab, given Given) (v Verdict, err error) {
	asks := l.Asks()
	if len(asks) == 0 {
		return v, nil
	}
	missing := false
	for _, a := range asks {
		answer := Answer{Ask: a, At: l.AskedAt[a]}
		if given.allows(a) {
			answer.Why = ByCaller
		}
		missing = missing || answer.Why == ""
		v.Answers = append(v.Answers, answer)
	}
	owner, known := OwnerOf(l)
	if !missing || !known {
		return v, nil
	}
	kept, err := h.Store.Of(l.File, owner)
	if err != nil {
		return v, err
	}
	missing = false
	had := thingsOf(kept)
	for i := range v.Answers {
		answer := &v.Answers[i]
		if answer.Why == "" && had.cover(answer.Ask) {
			answer.Why = Before
		}
		missing = missing || answer.Why == ""
	}
	if !missing {
		return v, nil
	}
	trusted, err := Trusts(h.Setting, l.File)
	if err != nil {
		v.Note = err.Error()
	}
	for i := range v.Answers {
		if answer := &v.Answers[i]; answer.Why == "" && trusted {
			answer.Why = ByTrust
		}
	}
	return v, nil
}

// Refused returns the error that says what of the answers is no, or nil.
func (v Verdict) Refused() error {
	e := &RefusedError{Note: v.Note}
	for _, a := range v.Answers {
		if a.Why == "" {
			e.Missing = append(e.Missing, a)
		}
	}
	if len(e.Missing) == 0 {
		return nil
	}
	return e
}

// keep keeps what the caller has allowed of a lab's file. On a disk that cannot be written nothing is kept, and the file has to be allowed
// each time.
func (h Host) keep(ctx context.Context, l *topology.Lab, v Verdict) error {
	var anew []topology.Ask
	for _, a := range v.Answers {
		if a.Why == ByCaller {
			anew = append(anew, a.Ask)
		}
	}
	owner, known := OwnerOf(l)
	if !known || len(anew) == 0 {
		return nil
	}
	if err := h.Store.Keep(ctx, l.File, owner, anew); !errors.Is(err, syscall.EROFS) {
		return err
	}
	return nil
}

// OwnerOf returns the user id that the file belonged to when it was read. Known is false for a lab that is of no file.
func OwnerOf(l *topology.Lab) (owner uint32, known bool) {
	if l.File == "" || l.Info == nil {
		return 0, false
	}
	st, ok := l.Info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}

// Obtain is Judge for a lab that is to be made: told is called with the verdict, what the caller allows is kept for the file, and
// what nobody allows is a [RefusedError], and nothing is kept. Told may be nil.
func (h Host) Obtain(ctx context.Context, l *topology.Lab, given Given, told func(Verdict)) error {
	v, err := h.Judge(l, given)
	if err != nil || len(v.Answers) == 0 {
		return err
	}
	if told != nil {
		told(v)
	}
	if err := v.Refused(); err != nil {
		return err
	}
	return h.keep(ctx, l, v)
}

// RefusedError is that a file asks for what nobody has allowed.
type RefusedError struct {
	Missing []Answer
	Note    string // why the machine's setting was not followed, if so
}

// Error is one line that names everything.
func (e *RefusedError) Error() string {
	parts := make([]string, len(e.Missing))
	for i, m := range e.Missing {
		parts[i] = m.Ask.String()
		if m.At.Line > 0 {
			parts[i] = fmt.Sprintf("%s (%s:%d:%d)", parts[i], m.At.File, m.At.Line, m.At.Column)
		}
	}
	return "the file asks for " + strings.Join(parts, "; ")
}

// Remedy says by which flag of nsnet everything is allowed.
func (e *RefusedError) Remedy() string {
	var kinds []string
	for _, m := range e.Missing {
		kinds = append(kinds, string(m.Kind))
	}
	slices.Sort(kinds)
	s := "if this is meant, allow it with --allow " + strings.Join(slices.Compact(kinds), ",") + ", or all that the file asks for with --trust"
	if e.Note != "" {
		s += "; " + e.Note
	}
	return s
}

// ParseKinds understands a list of kinds as --allow has it: "paths,caps".
func ParseKinds(s string) ([]topology.AskKind, error) {
	all := topology.AskKinds()
	var kinds []topology.AskKind
	for name := range strings.SplitSeq(s, ",") {
		k := topology.AskKind(strings.TrimSpace(name))
		if !slices.Contains(all, k) {
			return nil, fmt.Errorf("%q is none of %s", name, joined(all))
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

func joined(kinds []topology.AskKind) string {
	s := make([]string, len(kinds))
	for i, k := range kinds {
		s[i] = string(k)
	}
	return strings.Join(s, ", ")
}
