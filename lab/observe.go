package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// observed is a running lab as it was found.
type observed struct {
	rec      *record
	hadNodes []map[string]*topology.Node // those of had, see before

	had   []*topology.Lab   // what it was told to be: last, and before that by changes that were broken off
	raw   []json.RawMessage // had, as it is written down
	gone  []map[string]bool // what of had is no more, see pieces
	same  map[string]bool   // nodes that are to stay what they were last told to be
	state *proto.LabState
	nodes map[string]*proto.NodeState // of those that live
	focus *wiring.Focus
	want  *wiring.Want
	wants []*wiring.Want // of had
	wires wiring.Seen    // of what is in focus
	turns *difference    // which nodes end and which are started

	changes []wiring.Change // of the wires

	noSysctl error                        // why the first of the file's sysctls that is not there cannot be set
	sysctls  map[string]map[string]string // of nodes with sysctls of the network, where they are set and can be read
	names    map[string]string            // below NetnsDir, where they lead
	resolv   map[string]string            // for ip netns exec, by node
	groups   map[string]bool              // nodes whose control group is not there, or not theirs
	binds    map[string][]bindState       // of nodes that have one which is not current

	images map[string]imageNow // of the store, that the nodes are to run from, by name

	forwarding   []bridge.Sysctl // of the host, to be turned on
	legs         []bridge.Sysctl // of the lab's legs, which are theirs alone
	borrowed     []bridge.Family // that it forwards for labs alone then
	routers      map[bridge.Family][]string
	released     []released    // what this lab has turned on and no longer needs
	rules        []bridge.Rule // that the host's firewall needs
	missingRules []bridge.Rule // of these
	notes        []string
}

// earlierFile holds what a lab was told to be before changes that have not come to their end.
const earlierFile = "earlier.json"

// readHad is what a lab was told to be, the last first, and as it is written down.
func readHad(dir string) (had []*topology.Lab, raw []json.RawMessage, err error) {
	last, err := os.ReadFile(filepath.Join(dir, labFile))
	if err != nil {
		return nil, nil, err
	}
	raw = []json.RawMessage{last}
	b, err := os.ReadFile(filepath.Join(dir, earlierFile))
	if err == nil {
		var earlier []json.RawMessage
		if err := json.Unmarshal(b, &earlier); err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", filepath.Join(dir, earlierFile), err)
		}
		raw = append(raw, earlier...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	for i, r := range raw {
		l, err := decodeLab(dir, r)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", filepath.Join(dir, []string{labFile, earlierFile}[min(i, 1)]), err)
		}
		had = append(had, l)
	}
	given, err := withUpdates(dir, had[0])
	if err == nil && given {
		raw[0], err = json.Marshal(had[0])
	}
	return had, raw, err
}

// observe looks at a running lab as observeOnce does, and again where a node has died meanwhile: its links
// are down then, and are not what is to be mended.
func observe(ctx context.Context, rec *record, state *proto.LabState, want *topology.Lab) (*observed, error) {
	for {
		o, err := observeOnce(rec, state, want)
		if err == nil && !o.powerless() {
			return o, nil
		}
		now, askErr := labState(ctx, rec.Name)
		if askErr != nil || !noteDead(state, now) {
			return o, err
		}
	}
}

// powerless reports whether an interface of a node is down, as all of a node are that has died.
func (o *observed) powerless() bool {
	for place, net := range o.wires {
		if place != wiring.Fabric && place != wiring.Host && slices.ContainsFunc(net.Links, func(l rtnl.Link) bool { return !l.Up() }) {
			return true
		}
	}
	return false
}

// noteDead takes over into a state which nodes have died since, and reports whether any has.
func noteDead(state, now *proto.LabState) bool {
	dead := make(map[string]*proto.NodeState)
	for i := range now.Nodes {
		if n := &now.Nodes[i]; n.State == StateDead {
			dead[n.Name] = n
		}
	}
	died := false
	for i := range state.Nodes {
		if n := &state.Nodes[i]; n.State != StateDead && dead[n.Name] != nil {
			*n, died = *dead[n.Name], true
		}
	}
	return died
}

// observeOnce looks at a lab that runs and whose init has told its state, with regard to what it is to become.
// It changes nothing.
func observeOnce(rec *record, state *proto.LabState, want *topology.Lab) (*observed, error) {
	o := &observed{rec: rec, state: state, nodes: map[string]*proto.NodeState{}}
	var err error
	if o.had, o.raw, err = readHad(dirOf(rec.Name)); err != nil {
		return nil, &Error{Lab: rec.Name, Op: "read its record", Err: err, Remedy: "take it down first"}
	}
	for _, raw := range o.raw[1:] {
		gone, err := readPieces(raw)
		if err != nil {
			return nil, &Error{Lab: rec.Name, Op: "read its record", Err: err, Remedy: "take it down first"}
		}
		o.gone = append(o.gone, gone)
	}
	for i := range o.state.Nodes {
		if n := &o.state.Nodes[i]; n.State != StateDead {
			o.nodes[n.Name] = n
		}
	}
	o.lookAtImages(want)
	if err := o.lookAtBinds(want); err != nil {
		return nil, err
	}
	o.same = unchanged(want, o.had)
	if o.turns, err = turnover(want, o); err != nil {
		return nil, err
	}
	if err := o.look(want); err != nil {
		return nil, err
	}
	o.lookAtNames(want)
	if err := o.lookAtHost(want); err != nil {
		return nil, err
	}
	o.notes = append(o.notes, elsewhere(o.want, o.wires[wiring.Host])...)
	return o, o.lookAtGroups(want)
}

// unchanged names the nodes that are wanted as the only file before wanted them.
func unchanged(want *topology.Lab, had []*topology.Lab) map[string]bool {
	same := make(map[string]bool, len(want.Nodes))
	if len(had) != 1 {
		return same
	}
	last := byName(had[0].Nodes)
	for i := range want.Nodes {
		n := &want.Nodes[i]
		was := last[n.Name]
		same[n.Name] = was != nil && reflect.DeepEqual(*was, *n)
	}
	return same
}

// counts reports whether the i-th of had is still to be compared with in one piece.
func (o *observed) counts(i int, kind, name string) bool {
	return i == 0 || !o.gone[i-1][kind+" "+name]
}

// countsNode is counts for a piece of a node, in whose place another one may have come since.
func (o *observed) countsNode(i int, kind, name string) bool {
	return o.counts(i, "node", name) && o.counts(i, kind, name)
}

// before is what a node was told to be in one piece, "limits" for example, the last first.
func (o *observed) before(node, piece string) []*topology.Node {
	if o.hadNodes == nil {
		for _, h := range o.had {
			o.hadNodes = append(o.hadNodes, byName(h.Nodes))
		}
	}
	var all []*topology.Node
	for i, nodes := range o.hadNodes {
		if n := nodes[node]; n != nil && o.countsNode(i, piece, node) {
			all = append(all, n)
		}
	}
	return all
}

// look reads the network namespaces, but for those that are known to be as they were made and are to stay so.
func (o *observed) look(want *topology.Lab) error {
	o.want = wiring.Of(want, o.state.IPv6)
	for _, h := range o.had {
		o.wants = append(o.wants, wiring.Of(h, o.state.IPv6))
	}
	ends := make(map[string]bool, len(o.turns.remove))
	for _, n := range o.turns.remove {
		ends[n] = true
	}
	runs := func(name string) bool { return o.nodes[name] != nil }
	quiet := wiring.Quiet{Node: func(name string) bool { return runs(name) && o.nodes[name].Quiet && !ends[name] }, Fabric: o.state.Quiet}
	var err error
	if quiet.Fabric {
		if quiet.Touched, quiet.Fabric, err = wiring.Touched(o, o.state.Touched); err != nil {
			return wireError(err)
		}
	}
	o.focus = wiring.FocusOn(o.want, o.wants, runs, quiet)
	if o.wires, err = o.focus.Observe(o); err != nil {
		return wireError(err)
	}
	for n := range ends { // and takes its wires along
		delete(o.wires, wiring.Place(n))
	}
	if o.changes, err = wiring.Plan(o.want, o.wants, o.wires, o.focus); err != nil {
		return wireError(err)
	}
	if !o.focus.Suffices(o.changes) {
		o.focus.Widen()
		fabric, err := o.focus.ObserveAll(o, []wiring.Place{wiring.Fabric})
		if err != nil {
			return wireError(err)
		}
		o.wires[wiring.Fabric] = fabric[wiring.Fabric]
		if o.changes, err = wiring.Plan(o.want, o.wants, o.wires, o.focus); err != nil {
			return wireError(err)
		}
	}
	if o.sysctls, o.noSysctl, err = o.readSysctls(want, true); err != nil {
		return err
	}
	return nil
}

// Open opens the network namespaces that the lab has something in. Those of the nodes are the lab init's own
// descriptors. wiring.Namespaces.
func (o *observed) Open(p wiring.Place) (int, error) {
	switch p {
	case wiring.Host:
		return -1, nil
	case wiring.Fabric:
		return openNetns(fmt.Sprintf("/proc/%d/ns/net", o.rec.InitPID))
	}
	n := o.nodes[string(p)]
	if n == nil {
		return -1, wiring.ErrNotThere
	}
	return openNetns(fmt.Sprintf("/proc/%d/fd/%d", o.rec.InitPID, n.Netns))
}

// lookAtNames reads what names the lab on the host.
func (o *observed) lookAtNames(want *topology.Lab) {
	o.names, o.resolv = map[string]string{}, map[string]string{}
	for _, n := range namespaceNames(want) {
		if target, err := os.Readlink(filepath.Join(NetnsDir, n)); err == nil {
			o.names[n] = target
		}
	}
	for i := range want.Nodes {
		if n := &want.Nodes[i]; n.DNS != nil {
			text, err := dns.ReadNetns(EtcNetns, want.Name, n.Name)
			if errors.Is(err, dns.ErrForeign) {
				text = "no file"
			}
			if text != "" {
				o.resolv[n.Name] = text
			}
		}
	}
}

// namespaceNames are the names of a lab's network namespaces: the fabric's, then the nodes'.
func namespaceNames(l *topology.Lab) []string {
	names := []string{l.Name}
	for i := range l.Nodes {
		names = append(names, l.Name+"."+l.Nodes[i].Name)
	}
	return names
}

// lookAtHost finds out what the host has to do for the lab and does not.
func (o *observed) lookAtHost(want *topology.Lab) (err error) {
	need := o.rec.routing(want)
	if err := o.lookAtReleased(need.switches); err != nil {
		return err
	}
	if len(need.legs) > 0 || !slices.Contains(need.switches, bridge.IPv4) {
		if o.legs, err = bridge.PlanLegs(need.all, len(need.legs) > 0); err != nil {
			return &Error{Op: "look at the host's forwarding", Err: err}
		}
	}
	if need.none() {
		return nil
	}
	f, err := bridge.PlanForwarding(need.switches)
	if err != nil {
		return &Error{Op: "look at the host's forwarding", Err: err}
	}
	o.forwarding, o.borrowed, o.routers = f.Sysctls, f.Borrowed, f.Routers
	if o.rules, o.notes, err = bridge.PlanAccept(want.Name, need.all); err != nil {
		return &Error{Op: "look at the host's firewall", Err: err}
	}
	if o.missingRules, err = bridge.Missing(o.rules); err != nil {
		return &Error{Op: "look at the host's firewall", Err: err}
	}
	return nil
}

// lookAtGroups finds nodes with limits that are not in a control group of their own.
func (o *observed) lookAtGroups(want *topology.Lab) error {
	o.groups = map[string]bool{}
	var host *cgroups.Host
	for i := range want.Nodes {
		n := &want.Nodes[i]
		s := o.nodes[n.Name]
		if s == nil || !limited(&n.Limits) {
			continue
		}
		if host == nil {
			var err error
			if host, err = cgroups.Probe(); err != nil {
				return &Error{Op: "look at the control groups", Err: err}
			}
		}
		if in, err := host.Holds(want.Name, cgroups.Node{Name: n.Name, PID: s.PID}, n.Limits); err == nil && !in {
			o.groups[n.Name] = true
		}
	}
	return nil
}

// running tells what is known of a running lab: nil where it does not run.
func runningLab(ctx context.Context, want *topology.Lab, replace bool) (*observed, error) {
	dir := dirOf(want.Name)
	if !alive(dir) {
		return nil, nil //nolint:nilnil // that is the answer
	}
	rec, err := readRecord(dir)
	if err != nil {
		return nil, &Error{Lab: want.Name, Op: "read its record", Err: err, Remedy: "take it down first"}
	}
	rec.InitPID = initPID(dir)
	if !rec.Built || ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !replace {
		if err := taken(rec.origin, originOf(want)); err != nil {
			return nil, (&builder{lab: want}).wrap(ctx, err, "")
		}
	}
	state, err := labState(ctx, want.Name)
	var o *observed
	if err == nil {
		o, err = observe(ctx, rec, state, want)
	}
	if hasGone(err) {
		return nil, nil //nolint:nilnil,nilerr // it died while it was looked at
	}
	return o, err
}

// settled tells the lab's init that all is as the file says, so that the next look is for what changes from now on.
func (o *observed) settled() error {
	if len(o.focus.Places())+len(o.state.Touched) == 0 {
		return nil // it knew
	}
	c, err := dial(o.rec.Name)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := proto.Send(c, proto.Settled, proto.SettledNote{Turn: o.state.Turn}); err != nil {
		return &Error{Lab: o.rec.Name, Op: "tell its init", Err: err}
	}
	return nil
}

// resolvOf is a node's resolv.conf as it is for ip netns exec.
func resolvOf(n *topology.Node) string { return strings.TrimSpace(string(dns.ResolvConf(*n.DNS))) }
