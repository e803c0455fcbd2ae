package supervise

import (
	"fmt"
	"slices"
)

// Condition is what a dependency has to have come to.
type Condition int

// Conditions of a Dependency.
const (
	IsStarted Condition = iota
	IsReady
	HasExited // with exit code 0
)

// Dependency is a node that another one's command waits for.
type Dependency struct {
	Node      string
	Condition Condition
}

// Node is all that decisions about a node need.
type Node struct {
	Unit   *Unit
	Health *Health
	Paused bool // its processes are frozen
	// Patient is who asks and waits until a time of its own: an unhealthy node that may still become ready has not failed.
	Patient bool
}

// Verdict is how a node stands for somebody who waits for it.
type Verdict int

// Verdicts: what is Pending may come, what has Failed does not come by itself.
const (
	Pending Verdict = iota
	Good
	Failed
)

// Readiness tells whether a node is ready, and why not. A command without a check is ready when it runs, and one that has
// done its work and ended with exit code 0 has been. One with a check that has ended so is as good as what it has left.
// A paused node is not ready, and may be when it is resumed.
func (n Node) Readiness() (Verdict, string) {
	v, why := n.whenResumed()
	if n.Paused && v != Failed {
		return Pending, "it is paused"
	}
	return v, why
}

// whenResumed is Readiness of a node that is not paused.
func (n Node) whenResumed() (Verdict, string) {
	u, h := n.Unit, n.Health
	switch u.Phase {
	case Unmade:
		return Failed, "it is not made"
	case Dead:
		return Failed, "its init has ended"
	case Stopped:
		return Failed, "it is stopped"
	case Exited:
		switch {
		case u.Reason != "":
			return Failed, "its command could not be started: " + u.Reason
		case u.Failed():
			return Failed, "its command has ended " + EndText(u)
		case h.State == NoCheck || h.State == Ready:
			return Good, ""
		case !h.Goes():
			return Failed, "its command has ended before it was ready"
		}
	case Waiting:
		return Pending, "it waits for the nodes that it depends on"
	case Running, Idle:
		if h.State == NoCheck || h.State == Ready {
			return Good, ""
		}
	}
	switch {
	case h.State == Unhealthy && (h.doubted || n.Patient && (h.Goes() || u.Active())):
		return Pending, "it is unhealthy"
	case h.State == Unhealthy:
		return Failed, "it is unhealthy"
	case u.Restarting():
		return Pending, "its command has ended " + EndText(u) + " and is started again"
	case u.Phase == Running || u.Phase == Idle || u.Phase == Exited:
		return Pending, "its check has not passed"
	}
	return Pending, "its command is not there yet"
}

// EndText says how a command has ended: "with exit code 1", "by signal 9".
func EndText(u *Unit) string {
	if u.Status.Signaled() {
		return fmt.Sprintf("by signal %d", int(u.Status.Signal()))
	}
	return fmt.Sprintf("with exit code %d", u.Status.ExitStatus())
}

// Met tells whether a node has come to a condition.
func (n Node) Met(c Condition) (Verdict, string) {
	u := n.Unit
	switch c {
	case IsReady:
		return n.Readiness()
	case HasExited:
		switch {
		case u.Phase == Idle:
			return Failed, "it has no command that could end"
		case u.Phase == Exited && !u.Failed():
			return Good, ""
		case u.Phase == Exited || u.Phase == Dead || u.Phase == Unmade || u.Phase == Stopped:
			return n.Readiness()
		}
		return Pending, "its command has not ended"
	}
	if u.Phase == Idle || u.Ran {
		return Good, ""
	}
	if v, why := n.Readiness(); v == Failed {
		return v, why
	}
	return Pending, "its command is not there yet"
}

// Blocked tells whether all dependencies are met: Good, or by which the node is held up and why.
func Blocked(deps []Dependency, node func(name string) (Node, bool)) (Verdict, string) {
	v, why := Good, ""
	for _, d := range deps {
		n, ok := node(d.Node)
		if !ok {
			continue // it was taken out of the lab
		}
		switch got, reason := n.Met(d.Condition); {
		case got == Failed:
			return Failed, fmt.Sprintf("node %s, which it depends on: %s", d.Node, reason)
		case got == Pending && v == Good:
			v, why = Pending, fmt.Sprintf("node %s: %s", d.Node, reason)
		}
	}
	return v, why
}

// WaitText returns what Blocked says in the words of a node's state: what it waits for, or that it
// waits in vain. It is empty where nothing holds the node up.
func WaitText(v Verdict, why string) string {
	switch v {
	case Failed:
		return "it cannot start: " + why
	case Pending:
		return "it waits for " + why
	}
	return ""
}

// StopOrder puts nodes into groups, to be stopped one group after the other: each node comes before those that it depends
// on. What depends on nodes outside is free of them. Circles, which a topology has none of, come last.
func StopOrder(nodes []string, deps map[string][]string) [][]string {
	users := make(map[string]int, len(nodes)) // of those that are left
	for _, n := range nodes {
		users[n] += 0
	}
	for _, n := range nodes {
		for _, d := range deps[n] {
			if _, ours := users[d]; ours {
				users[d]++
			}
		}
	}
	var order [][]string
	left := slices.Clone(nodes)
	for len(left) > 0 {
		var group, rest []string
		for _, n := range left {
			if users[n] == 0 {
				group = append(group, n)
			} else {
				rest = append(rest, n)
			}
		}
		if len(group) == 0 {
			return append(order, rest)
		}
		for _, n := range group {
			for _, d := range deps[n] {
				if _, ours := users[d]; ours {
					users[d]--
				}
			}
		}
		order, left = append(order, group), rest
	}
	return order
}
