package lab

import (
	"fmt"
	"strings"

	"github.com/nsnet/nsnet/lab/wiring"
)

// account is how far the actions of a change have come, to be told when it fails.
type account struct {
	actions []Action
	come    []progress
	lost    map[string]bool // actions by kind and name that cannot be made
	wires   []wiring.Change // which know of their steps themselves
	wired   map[int]int     // places in wires of the actions that are there
}

// progress is how far one action has come.
type progress int

const (
	untouched progress = iota
	begun              // something of it may be done
	made
)

func newAccount(d *difference) *account {
	return &account{actions: d.actions, come: make([]progress, len(d.actions)), wires: d.wires, wired: d.wired}
}

// begun notes that actions are begun, see reach.
func (a *account) begun(which ...string) { a.reach(begun, which) }

// made notes that actions are done, see reach.
func (a *account) made(which ...string) { a.reach(made, which) }

// reach notes how far actions have come: "+ port" is those of that sign and kind, "~ limits web" the one with that name. None goes back.
func (a *account) reach(far progress, which []string) {
	for i := range a.actions {
		kind := a.actions[i].Op + " " + a.actions[i].Kind
		for _, w := range which {
			if (w == kind || w == kind+" "+a.actions[i].Name) && !a.lost[a.actions[i].Kind+" "+a.actions[i].Name] {
				a.come[i] = max(a.come[i], far)
			}
		}
	}
}

// lose notes that actions of a kind cannot be made, by their names. What comes new of them is not begun either.
func (a *account) lose(kind string, names ...string) {
	if a.lost == nil {
		a.lost = map[string]bool{}
	}
	for _, name := range names {
		a.lost[kind+" "+name] = true
	}
	for i := range a.actions {
		if k := &a.actions[i]; k.Op == "+" && a.lost[k.Kind+" "+k.Name] {
			a.come[i] = untouched
		}
	}
}

// names are the actions that have come so far, but for the wires, by kind and name.
func (a *account) names(far progress) (names []string) {
	for i := range a.actions {
		if _, is := a.wired[i]; !is && a.come[i] == far {
			names = append(names, a.actions[i].Kind+" "+a.actions[i].Name)
		}
	}
	return names
}

// all reports whether all actions of a sign and kind are made.
func (a *account) all(which string) bool {
	for i := range a.actions {
		if a.actions[i].Op+" "+a.actions[i].Kind == which && a.come[i] != made {
			return false
		}
	}
	return true
}

// of returns how far an action has come.
func (a *account) of(i int) progress {
	w, is := a.wired[i]
	if !is {
		return a.come[i]
	}
	switch c := &a.wires[w]; c.Done() {
	case len(c.Steps):
		return made
	case 0:
		return untouched
	}
	return begun
}

// touched reports whether anything was made or begun; of no account, nothing was.
func (a *account) touched() bool {
	if a == nil {
		return false
	}
	for i := range a.actions {
		if a.of(i) != untouched {
			return true
		}
	}
	return false
}

// String returns the account in the words of an error.
func (a *account) String() string {
	var by [made + 1][]string
	for i := range a.actions {
		p := a.of(i)
		by[p] = append(by[p], a.actions[i].Kind+" "+a.actions[i].Name)
	}
	text := fmt.Sprintf("of %s %d are made: %s", changes(len(a.actions)), len(by[made]), some(by[made]))
	if len(by[begun]) > 0 {
		text += "; begun: " + some(by[begun])
	}
	return text + "; not made: " + some(by[untouched])
}

// changes is how many there are.
func changes(n int) string {
	if n == 1 {
		return "1 change"
	}
	return fmt.Sprintf("%d changes", n)
}

// some is a list that does not get long.
func some(l []string) string {
	const most = 5
	switch {
	case len(l) == 0:
		return "none"
	case len(l) > most:
		return strings.Join(l[:most], ", ") + fmt.Sprintf(" and %d more", len(l)-most)
	}
	return strings.Join(l, ", ")
}
