package topology

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// depends checks what nodes wait for: that it is there, can come true, and is not the node itself in the end.
func (r *resolver) depends() {
	for i := range r.f.nodes {
		s, n := &r.f.nodes[i], &r.lab.Nodes[i]
		if !r.d.spend(s.n, 4*len(s.depends.v)) {
			return
		}
		for _, dep := range s.depends.v {
			other, ok := r.nodes[dep.Node]
			if !ok {
				r.d.errorf(dep.n, "unknown node %q in depends_on of node %s%s", dep.Node, s.name, r.suggestNode(dep.Node))
				continue
			}
			o := &r.lab.Nodes[other]
			if dep.Condition == DependExited && len(o.Command) == 0 && !o.Image.Stored() {
				r.d.errorf(dep.n, "node %s waits for node %s to exit, which has no command", s.name, dep.Node)
				continue
			}
			n.DependsOn = append(n.DependsOn, dep.Dependency)
		}
		if s.ready.v != nil && s.ready.v.Log != "" && len(n.Command) == 0 && !n.Image.Stored() {
			r.d.errorf(s.ready.n, "node %s has no command, so no log that ready could look at", s.name)
		}
	}
	r.cycles()
}

// cycles reports each circle of dependencies once, where the node that closes it is named. A stack of its own in
// place of recursion: a chain may be as long as a lab.
func (r *resolver) cycles() {
	const fresh, open, done = 0, 1, 2
	state := make([]byte, len(r.f.nodes))
	type step struct{ node, next int }
	for first := range r.f.nodes {
		if state[first] != fresh || len(r.f.nodes[first].depends.v) == 0 {
			continue
		}
		path := []step{{first, 0}}
		state[first] = open
		for len(path) > 0 {
			at := &path[len(path)-1]
			deps := r.f.nodes[at.node].depends.v
			if at.next == len(deps) {
				state[at.node] = done
				path = path[:len(path)-1]
				continue
			}
			dep := deps[at.next]
			at.next++
			other, ok := r.nodes[dep.Node]
			switch {
			case !ok:
			case state[other] == fresh:
				state[other] = open
				path = append(path, step{other, 0})
			case state[other] == open:
				var names []string
				for _, p := range path {
					if p.node == other || len(names) > 0 {
						names = append(names, r.f.nodes[p.node].name)
					}
				}
				r.cycle(dep.n, append(names, dep.Node))
			}
		}
	}
}

// cycle reports one, in the middle shortened to what can be read.
func (r *resolver) cycle(n *yaml.Node, names []string) {
	const most = 8
	if len(names) == 2 {
		r.d.errorf(n, "node %s depends on itself", names[0])
		return
	}
	if len(names) > most {
		names = append(append(names[:most/2:most/2], "..."), names[len(names)-most/2:]...)
	}
	r.d.errorf(n, "nodes depend on each other: %s", strings.Join(names, " -> "))
}
