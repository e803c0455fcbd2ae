package lab

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// What a change costs.
const (
	CostInPlace = "in place"          // no process and no other link notices
	CostLink    = "link re-made"      // the link's packets are lost meanwhile
	CostCommand = "command restarted" // the node's other processes, links and namespaces stay
	CostNode    = "node restarted"    // its processes end, its links are re-made
)

// difference is what makes a running lab what it is to be.
type difference struct {
	actions []Action
	remove  []string        // nodes that end
	add     []topology.Node // nodes to start
	wires   []wiring.Change
	wired   map[int]int // actions that are wires, by their places: the places in wires

	unset   map[string][]string // to give their defaults, by node
	bound   bool                // what the lab may have of memory changes
	limits  []string            // nodes whose limits change
	start   []string            // nodes whose command has ended and is to be started
	again   []string            // nodes whose command is another one
	digests map[string]string   // of the commands that are, by node
	hosts   bool                // what all nodes have in /etc/hosts
	files   []string            // nodes whose own /etc/hosts changes
	resolv  []string            // nodes whose resolv.conf changes
	names   bool                // below NetnsDir and EtcNetns
	rebind  map[string][]int    // binds whose source is another file now, by node

	open     []openPort // published ports
	retarget []proto.PublishedPort
	closed   []string // by their keys

	table    bool            // the lab's table is made anew, or given up
	transit  []bridge.Family // for which the host has to be kept from forwarding for others
	givenUp  []string        // families for which it is kept no more
	rules    []bridge.Rule
	oldRules []bridge.Rule
}

// openPort is a port of the host to listen on.
type openPort struct {
	node string
	port topology.Port
}

func (d *difference) say(op, kind, name, detail, reason, cost string) {
	d.actions = append(d.actions, Action{Op: op, Kind: kind, Name: name, Detail: detail, Reason: reason, Cost: cost})
}

// compare tells what to do for a lab that was found like this to become what is wanted, on top of the turnover
// of its nodes. It is a plain function of both, to be called once.
func compare(want *topology.Lab, o *observed) *difference {
	d := o.turns
	d.wire(o)
	d.insides(want, o)
	d.ports(want, o)
	d.host(want, o)
	return d
}

// turnover begins a difference with which nodes end and which are started. Nothing of the lab but the state of its
// nodes has to be known for that.
func turnover(want *topology.Lab, o *observed) (*difference, error) {
	d := &difference{digests: map[string]string{}, unset: map[string][]string{}, rebind: map[string][]int{}}
	return d, d.nodes(want, o)
}

func (d *difference) nodes(want *topology.Lab, o *observed) error {
	last := byName(o.had[0].Nodes)
	for i := range want.Nodes {
		n := &want.Nodes[i]
		s := o.nodes[n.Name]
		switch {
		case s == nil && slices.ContainsFunc(o.state.Nodes, func(s proto.NodeState) bool { return s.Name == n.Name }):
			d.remove = append(d.remove, n.Name)
			d.add = append(d.add, *n)
			d.say("~", "node", n.Name, nodeText(n), "its init has ended", CostNode)
		case s == nil:
			d.add = append(d.add, *n)
			d.say("+", "node", n.Name, nodeText(n), "", "")
		default:
			why := o.otherwise(n, s)
			if len(why) == 0 && !s.Fresh && (o.same[n.Name] || len(o.had) == 1 && last[n.Name] != nil && sameStart(last[n.Name], n)) {
				d.ended(n, s) // and the digests are the same, which take longer
				continue
			}
			node, command := digests(n)
			if len(why) == 0 && s.Digest == node && s.Command != command && !s.Fresh && !n.Image.Stored() && s.State != StateIdle && len(n.Command) > 0 {
				d.again = append(d.again, n.Name)
				d.digests[n.Name] = command
				d.say("~", "command", n.Name, printable.Command(n.Command), changedText(differing(last[n.Name], n)), CostCommand)
				continue
			}
			if len(why) == 0 && s.Digest == node && s.Command != command && !n.Image.Stored() && s.State == StateIdle && len(n.Command) == 0 {
				d.digests[n.Name] = command
				d.say("~", "exec", n.Name, "what commands of exec begin with", changedText(differing(last[n.Name], n)), CostInPlace)
				continue
			}
			if len(why) == 0 && s.Digest == node && s.Command == command {
				if s.Fresh {
					d.say("~", "node", n.Name, nodeText(n), "its command was not started yet", CostInPlace)
				} else {
					d.ended(n, s)
				}
				continue
			}
			if s.Digest != node || s.Command != command {
				why = append([]string{anewText(o.rec.Name, last[n.Name], o.resolved(n))}, why...)
			}
			d.remove = append(d.remove, n.Name)
			d.add = append(d.add, *n)
			d.say("~", "node", n.Name, nodeText(n), strings.Join(why, ", "), CostNode)
		}
	}
	for i := range d.add {
		if n := &d.add[i]; n.Privileged && o.rec.UserNS {
			return &Error{Node: n.Name, Err: fmt.Errorf("%w: a lab that was made without privileged nodes cannot get one", ErrConflict), Remedy: "take the lab down and up again"}
		}
	}
	if most := o.rec.ids().slots(); len(d.add) > 0 && len(want.Nodes) > most {
		return &Error{Op: "start nodes", Err: fmt.Errorf("%w: a lab cannot get more user ids while it runs: this one was made with some for %d nodes, and is to have %d", ErrConflict, most, len(want.Nodes)),
			Remedy: "take the lab down and up again"}
	}
	wanted := byName(want.Nodes)
	for i := range o.state.Nodes {
		if name := o.state.Nodes[i].Name; wanted[name] == nil {
			d.remove = append(d.remove, name)
			d.say("-", "node", name, "", "", "")
		}
	}
	return nil
}

// ended has a command started again that was stopped, was killed or has failed. One that has ended as it should has done
// what it was for.
func (d *difference) ended(n *topology.Node, s *proto.NodeState) {
	var why string
	switch ws := syscall.WaitStatus(s.WaitStatus); {
	case s.Paused:
		return
	case s.State == StateStopped:
		why = "it was stopped"
	case s.State != StateExited || ws.Exited() && ws.ExitStatus() == 0:
		return
	case ws.Signaled():
		why = "it was ended by " + unix.SignalName(ws.Signal())
	default:
		why = fmt.Sprintf("it has ended with exit code %d", ws.ExitStatus())
	}
	d.start = append(d.start, n.Name)
	d.say("~", "command", n.Name, printable.Command(n.Command), why, CostCommand)
}

// sameStart tells whether two nodes are the same in all that a node is started with.
func sameStart(a, b *topology.Node) bool { return reflect.DeepEqual(fixedOf(a), fixedOf(b)) }

// differing names the keys in which two nodes differ, of those that a node is started with, both with what their images say.
func differing(a, b *topology.Node) []string {
	if a == nil {
		return nil
	}
	x, y := reflect.ValueOf(fixedOf(a)), reflect.ValueOf(fixedOf(b))
	var keys []string
	for i := range x.NumField() {
		if f := x.Type().Field(i); !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			keys = append(keys, strings.TrimSuffix(key, "_given"))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// changedText says which keys have changed. Where none has, a change to what the file says was broken off.
func changedText(keys []string) string {
	if len(keys) == 0 {
		return "it is not yet as the file wants it"
	}
	return strings.Join(keys, ", ") + " changed"
}

// anewText says which keys of a node that is started anew have changed, those that alone would have been changed in place, too, and what
// becomes of the files that it keeps.
func anewText(lab string, was, n *topology.Node) string {
	keys, note := differing(was, n), ""
	if len(keys) > 0 && !reflect.DeepEqual(was.Limits, n.Limits) {
		keys = append(keys, "limits")
	}
	if at := slices.Index(keys, "writable"); at >= 0 && was != nil { // it is two keys of the file
		switch kept := keptBy(filepath.Join(KeepDir, lab), n.Name); {
		case was.Writable.Persist == n.Writable.Persist:
			keys[at] = "writable_size"
		case n.Writable.Persist:
			keys[at], note = "persist", " (what it has written is gone; what it writes from now on is kept in "+kept+")"
		default:
			keys[at], note = "persist", " (what it has kept stays in "+kept+", and is not in the node)"
		}
	}
	slices.Sort(keys)
	return changedText(keys) + note
}

func nodeText(n *topology.Node) string {
	command := "idle"
	if len(n.Command) > 0 {
		command = "runs " + printable.Command(n.Command)
	}
	if n.Image.Stored() && !n.EntrypointGiven {
		command = strings.TrimSpace("runs its image's command " + printable.Command(n.Command))
	}
	return fmt.Sprintf("image %s, %s", n.Image, command)
}

// wire tells of the changes of the wires.
func (d *difference) wire(o *observed) {
	d.wires, d.wired = o.changes, map[int]int{}
	fresh := byName(d.add)
	for i := range d.wires {
		c := &d.wires[i]
		if c.Node != "" && fresh[c.Node] != nil {
			continue // a new node's own routes go without saying
		}
		cost := ""
		switch {
		case c.Remade:
			cost = CostLink
		case c.Op == "~":
			cost = CostInPlace
		}
		d.wired[len(d.actions)] = i
		d.say(c.Op, c.Kind, c.Name, c.Detail, c.Reason, cost)
	}
}

// insides compares what nodes that stay have inside: sysctls, limits, names.
func (d *difference) insides(want *topology.Lab, o *observed) {
	fresh := byName(d.add)
	hosts, own := dns.Hosts(want), dns.Own(want)
	var ownBefore []map[string][]string
	for _, h := range o.had {
		ownBefore = append(ownBefore, dns.Own(h))
	}
	for i, h := range o.had {
		if o.counts(i, "hosts", want.Name) && !slices.Equal(hosts, dns.Hosts(h)) {
			d.hosts = true
			d.say("~", "hosts", want.Name, "/etc/hosts of all nodes", "", CostInPlace)
			break
		}
	}
	otherLines := func(node string) bool {
		for i, was := range ownBefore {
			if o.countsNode(i, "hosts", node) && !slices.Equal(own[node], was[node]) {
				return true
			}
		}
		return false
	}
	if at := slices.IndexFunc(o.had, func(h *topology.Lab) bool { return h.Limits != want.Limits }); at >= 0 {
		d.bound = true
		d.say("~", "limits", want.Name, fmt.Sprintf("memory of all nodes together %s -> %s", labMemoryText(o.had[at].Limits), labMemoryText(want.Limits)), "", CostInPlace)
	}
	for i := range want.Nodes {
		n := &want.Nodes[i]
		if fresh[n.Name] != nil || len(o.before(n.Name, "")) == 0 {
			continue
		}
		d.nodeSysctls(n, o.before(n.Name, "sysctls"), o)
		d.rebinds(n, o.binds[n.Name])
		other := func(piece string, differs func(*topology.Node) bool) *topology.Node {
			for _, was := range o.before(n.Name, piece) {
				if differs(was) {
					return was
				}
			}
			return nil
		}
		if was := other("limits", func(b *topology.Node) bool { return !reflect.DeepEqual(n.Limits, b.Limits) }); was != nil {
			d.limits = append(d.limits, n.Name)
			d.say("~", "limits", n.Name, limitsText(was.Limits, n.Limits), "", CostInPlace)
		} else if o.groups[n.Name] {
			d.limits = append(d.limits, n.Name)
			d.say("~", "limits", n.Name, "", "its processes are not in the node's control group", CostInPlace)
		}
		if was := other("policy", func(b *topology.Node) bool { return len(otherPolicy(n, b)) > 0 }); was != nil {
			d.say("~", "policy", n.Name, strings.Join(otherPolicy(n, was), ", "), "", CostInPlace)
		}
		switch {
		case otherLines(n.Name):
			d.files = append(d.files, n.Name)
			d.say("~", "hosts", n.Name, "its own lines in /etc/hosts", "", CostInPlace)
		case d.hosts && len(own[n.Name]) > 0:
			d.files = append(d.files, n.Name)
		}
		switch {
		case n.DNS != nil && other("dns", func(b *topology.Node) bool { return b.DNS == nil || resolvOf(n) != resolvOf(b) }) != nil:
			d.resolv = append(d.resolv, n.Name)
			d.say("~", "dns", n.Name, "resolv.conf", "", CostInPlace)
		case n.DNS == nil && other("dns", func(b *topology.Node) bool { return b.DNS != nil }) != nil:
			d.resolv = append(d.resolv, n.Name)
			d.say("~", "dns", n.Name, "resolv.conf as its image has it", "", CostInPlace)
		}
	}
	d.names = d.lookAtNames(want, o, fresh)
}

// lookAtNames finds names on the host that are missing or lead elsewhere.
func (d *difference) lookAtNames(want *topology.Lab, o *observed, fresh map[string]*topology.Node) bool {
	change := len(d.add) > 0 || len(d.remove) > 0
	check := func(name, target string) {
		if o.names[name] != target {
			change = true
			d.say("~", "name", NetnsDir+"/"+name, "", "it does not lead there", CostInPlace)
		}
	}
	check(want.Name, fabricAt(o.rec.InitPID, o.state))
	for i := range want.Nodes {
		n := &want.Nodes[i]
		if s := o.nodes[n.Name]; s != nil && fresh[n.Name] == nil {
			check(want.Name+"."+n.Name, descriptorAt(o.rec.InitPID, s.Netns))
		}
		if n.DNS != nil && fresh[n.Name] == nil && strings.TrimSpace(o.resolv[n.Name]) != resolvOf(n) {
			change = true
			if !slices.Contains(d.resolv, n.Name) {
				d.say("~", "name", EtcNetns+"/"+want.Name+"."+n.Name+"/resolv.conf", "", "it is not the node's", CostInPlace)
			}
		}
	}
	return change
}

// nodeSysctls compares a node's sysctls of the network with what they are, or where they cannot be read with what they
// were to be.
func (d *difference) nodeSysctls(n *topology.Node, before []*topology.Node, o *observed) {
	var text []string
	for _, k := range slices.Sorted(maps.Keys(n.Sysctls)) {
		if !ofNetwork(k) {
			continue
		}
		want := strings.Join(strings.Fields(n.Sysctls[k]), " ")
		is, read := o.sysctls[n.Name][k]
		if read && is != want {
			text = append(text, fmt.Sprintf("%s %s -> %s", k, is, want))
		} else if !read && slices.ContainsFunc(before, func(b *topology.Node) bool { return b.Sysctls[k] != n.Sysctls[k] }) {
			text = append(text, fmt.Sprintf("%s = %s", k, want))
		} else {
			continue
		}
	}
	for _, was := range before {
		for _, k := range slices.Sorted(maps.Keys(was.Sysctls)) {
			if _, still := n.Sysctls[k]; ofNetwork(k) && !still && !slices.Contains(d.unset[n.Name], k) {
				d.unset[n.Name] = append(d.unset[n.Name], k)
				text = append(text, k+" to its default")
			}
		}
	}
	if len(text) > 0 {
		d.say("~", "sysctls", n.Name, strings.Join(text, ", "), "", CostInPlace)
	}
}

// limited tells whether a node has limits.
func limited(l *topology.Limits) bool { return !reflect.DeepEqual(*l, topology.Limits{}) }

// labMemoryText is what a lab may have of memory, as its file says it.
func labMemoryText(l topology.LabLimits) string {
	switch l.Memory {
	case 0:
		return "three quarters of the machine's"
	case topology.AllMemory:
		return "max"
	}
	return size(l.Memory)
}

// limitsText is how limits change.
func limitsText(was, now topology.Limits) string {
	x, y := reflect.ValueOf(was), reflect.ValueOf(now)
	var text []string
	for i := range x.NumField() {
		a, b := x.Field(i), y.Field(i)
		if reflect.DeepEqual(a.Interface(), b.Interface()) {
			continue
		}
		key, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("json"), ",")
		value := func(v reflect.Value) string {
			if v.IsZero() {
				return "none"
			}
			switch {
			case key == "memory":
				return size(v.Int())
			case key == "pids" && v.Int() == topology.AllPids:
				return "max"
			}
			return fmt.Sprint(v.Interface())
		}
		text = append(text, fmt.Sprintf("%s %s -> %s", key, value(a), value(b)))
	}
	return strings.Join(text, ", ")
}
