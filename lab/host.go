package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// plan decides all that the lab needs of the host, under the lock that all labs share, and
// writes it down.
func (b *builder) plan(ctx context.Context) error {
	host, err := lockHost(ctx)
	if err != nil {
		return &Error{Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	if err := b.decide(func(string) bool { return false }); err != nil {
		return err
	}
	if err := b.writeFiles(); err != nil {
		return err
	}
	if err := bridge.ApplySysctls(b.rec.Sysctls); err != nil {
		return &Error{Op: "turn on the host's forwarding", Err: err}
	}
	return nil
}

// decide fills in the record what the lab needs of the host, changing nothing. Ours tells of names in NetnsDir that are the lab's own
// already.
func (b *builder) decide(ours func(name string) bool) (err error) {
	r := &b.rec
	r.UserNS = !slices.ContainsFunc(b.lab.Nodes, func(n topology.Node) bool { return n.Privileged })
	if err := b.allocateIDs(); err != nil {
		return err
	}
	r.Limits, r.Bounded, r.Images, r.Kept = b.limited, b.bound != nil, b.uses, b.persists()
	r.Work = b.work
	r.claim(b.lab)
	if need := r.routing(b.lab); !need.none() {
		f, err := bridge.PlanForwarding(need.switches)
		if err != nil {
			return &Error{Op: "look at the host's forwarding", Err: err}
		}
		err = b.makeTransit(f.Borrowed, f.Routers)
		if errors.Is(err, ErrUnsupported) && !r.NAT {
			b.noTable(err)
			f.Sysctls, err = nil, nil
		}
		if err != nil {
			return err
		}
		r.Sysctls = f.Sysctls
		var notes []string
		if r.Rules, notes, err = bridge.PlanAccept(r.Name, need.all); err != nil {
			return &Error{Op: "look at the host's firewall", Err: err}
		}
		b.notes = append(b.notes, notes...)
	}
	return b.checkNames(ours, func(string) string { return "give the lab another name with --name" })
}

// checkNames finds names of network namespaces that are taken by others than the lab itself, which has ours.
// Remedy is for a name of which no lab knows.
func (b *builder) checkNames(ours func(name string) bool, remedy func(name string) string) error {
	labs, err := Names()
	if err != nil {
		return err
	}
	taken := func(node, name string, err error, remedy string) error {
		return &Error{Node: node, Object: filepath.Join(NetnsDir, name), Err: fmt.Errorf("%w: %w", ErrConflict, err), Remedy: remedy}
	}
	// The name of a lab may have a dot, that of a node has none.
	if at := strings.LastIndexByte(b.lab.Name, '.'); at > 0 && slices.Contains(labs, b.lab.Name[:at]) {
		other, node := b.lab.Name[:at], b.lab.Name[at+1:]
		if r, err := readRecord(dirOf(other)); err == nil && slices.Contains(r.Netns, b.lab.Name) {
			return taken("", b.lab.Name, fmt.Errorf("the network namespace of node %s of lab %s has that name", node, other), "give this lab another name with --name")
		}
	}
	for i, name := range namespaceNames(b.lab) {
		node := ""
		if i > 0 {
			node = b.lab.Nodes[i-1].Name
		}
		if i > 0 && slices.Contains(labs, name) {
			return taken(node, name, fmt.Errorf("the network namespace of lab %s has that name", name), "give this node another name, or one of the labs with --name")
		}
		if ours(name) {
			continue
		}
		switch _, err := os.Lstat(filepath.Join(NetnsDir, name)); {
		case err == nil && !alive(dirOf(b.lab.Name)) && isLost(b.lab.Name):
			return taken(node, name, errors.New("a lab of this name runs, and what was written of it in "+dirOf(b.lab.Name)+" was removed"), "nsnet down "+b.lab.Name+" ends it")
		case err == nil:
			return taken(node, name, errors.New("the name is taken by a network namespace that is not nsnet's"), remedy(name))
		}
	}
	return nil
}

// claim notes what a lab has on the host by its content alone.
func (r *record) claim(l *topology.Lab) {
	need := r.routing(l)
	r.NAT, r.Forwards, r.Routed = hasNAT(l), need.switches, need.legs
	r.Links, r.Netns, r.DNS = slices.Clone(need.all), namespaceNames(l), nil
	for i := range l.Links {
		if k := &l.Links[i]; isExternal(l, k.B.Bridge) {
			r.Links = append(r.Links, bridge.PortName(l.Name, k.A.Node, k.A.Interface))
		}
	}
	for i := range l.Nodes {
		if n := &l.Nodes[i]; n.DNS != nil {
			r.DNS = append(r.DNS, n.Name)
		}
	}
}

func isExternal(l *topology.Lab, name string) bool {
	return slices.ContainsFunc(l.Bridges, func(t topology.Bridge) bool { return t.External && t.Name == name })
}

// planWires plans the lab's wires as if nothing were there, which is what the lab init does, too: both
// carry out their own part of the same plan. The host's bridges are known here alone.
func (b *builder) planWires() error {
	b.want = wiring.Of(b.lab, true) // of the host's part, where it says nothing of IPv6
	seen := wiring.Seen{}
	if slices.ContainsFunc(b.want.Cables, func(k wiring.Cable) bool { return k.B.Place == wiring.Host }) {
		var err error
		if seen, err = b.want.ObserveHost(b); err != nil {
			return wireError(err)
		}
	}
	b.notes = append(b.notes, elsewhere(b.want, seen[wiring.Host])...)
	b.slow = wiring.SlowBridges(seen[wiring.Host])
	changes, err := wiring.Plan(b.want, nil, seen, nil)
	if err != nil {
		return wireError(err)
	}
	b.legSteps, b.portSteps = wiring.Legs(wiring.Outside(wiring.Steps(changes)))
	return nil
}

// elsewhere tells of what is behind the lab's routers and has no route of the host by these, as others have one.
func elsewhere(w *wiring.Want, host *wiring.Net) (notes []string) {
	for _, r := range w.Elsewhere(host) {
		notes = append(notes, fmt.Sprintf("the host does not reach %s behind a router of the lab: it has another network or route there; if the lab is meant: ip route add %s via %s dev %s", r.To, r.To, r.Via, r.Dev))
	}
	return notes
}

// Open opens the network namespaces that the lab has something in. wiring.Namespaces.
func (b *builder) Open(p wiring.Place) (int, error) {
	switch p {
	case wiring.Host:
		return -1, nil
	case wiring.Fabric:
		return openNetns(fmt.Sprintf("/proc/%d/ns/net", b.rec.InitPID))
	}
	return openNetns(fmt.Sprintf("/proc/%d/ns/net", b.pids[string(p)]))
}

func openNetns(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		err = &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, err
}

// wireError is an error of the wiring in the words of this package.
func wireError(err error) error {
	var taken *wiring.Taken
	if errors.As(err, &taken) {
		return &Error{Object: taken.Interface, Err: fmt.Errorf("%w: %w", ErrConflict, err), Remedy: "remove the interface of that name, which is not this lab's"}
	}
	var e *wiring.Error
	if !errors.As(err, &e) {
		return err
	}
	out := &Error{Op: e.Op, Object: e.Object, Err: e.Err}
	switch e.Place {
	case wiring.Fabric:
	case wiring.Host:
		out.Op = "set up the host's interfaces: " + e.Op
	default:
		out.Node = string(e.Place)
	}
	return out
}

// legs plugs the bridges that have a host address into the host, and sets up what
// translates and forwards their packets.
func (b *builder) legs() error {
	apply := wiring.Applier{Namespaces: b, HostLeg: b.setLeg}
	err := apply.Remove(b.legSteps)
	if err == nil {
		err = apply.Create(b.legSteps)
	}
	if err != nil {
		return wireError(err)
	}
	// What holds the legs to what is theirs is there before they come up.
	if err := b.makeTable(b.want, false); err != nil {
		return err
	}
	if err := apply.Configure(b.legSteps); err != nil {
		return wireError(err)
	}
	if err := bridge.Insert(b.rec.Rules); err != nil {
		return &Error{Op: "add rules to the host's firewall", Err: err}
	}
	return nil
}

// setLeg sets what the host does with a leg, before that is up.
func (b *builder) setLeg(leg *wiring.End) error {
	if err := quietLeg(leg); err != nil {
		return err
	}
	if need := b.rec.routing(b.lab); !slices.Contains(need.legs, leg.Name) {
		return nil
	}
	return bridge.ForwardLegs([]string{leg.Name})
}

// quietLeg keeps the host from taking anything that a node says for its own
// configuration: router advertisements and redirects above all (CVE-2020-13401). And it has IPv6 where that has addresses,
// also on a host that has it turned off for new interfaces. Of the two filters by reverse path the loose one is in force, also where
// the host has the strict one for all: that would drop what comes from behind the lab's routers, to which the
// host has no route. The lab's table is stricter than both.
func quietLeg(leg *wiring.End) error {
	name := leg.Name
	var sysctls [][2]string
	if slices.ContainsFunc(leg.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		sysctls = [][2]string{{"ipv6/conf/" + name + "/disable_ipv6", "0"}}
	}
	for _, kv := range append(sysctls, [][2]string{
		{"ipv6/conf/" + name + "/accept_ra", "0"},
		{"ipv6/conf/" + name + "/accept_redirects", "0"},
		{"ipv6/conf/" + name + "/accept_dad", "0"},
		{"ipv4/conf/" + name + "/accept_redirects", "0"},
		{"ipv4/conf/" + name + "/rp_filter", "2"},
	}...) {
		path := "/proc/sys/net/" + kv[0]
		err := failpoint.Hit("sysctl", path)
		if err == nil {
			err = os.WriteFile(path, []byte(kv[1]), 0)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// external plugs nodes into the host's own bridges. The lab init addresses their ends.
func (b *builder) external() error {
	apply := wiring.Applier{Namespaces: b}
	if err := apply.Apply(b.portSteps); err != nil {
		return wireError(err)
	}
	return nil
}

// hostReady waits until the host's ends of the lab carry packets.
func (b *builder) hostReady(ctx context.Context) error {
	apply := wiring.Applier{Namespaces: b, Slow: b.slow, Waiting: b.waiting}
	if err := apply.Ready(ctx, b.want, append(slices.Clone(b.legSteps), b.portSteps...), 30*time.Second); err != nil {
		return wireError(err)
	}
	b.late(apply.Late)
	return nil
}

// waiting tells for what it takes so long.
func (b *builder) waiting(name string, most time.Duration) {
	b.step(fmt.Sprintf("wait for the spanning tree of bridge %s, %.0f s at most", name, most.Seconds()), 0, 0)
}

// late notes ports that did not come to forward.
func (b *builder) late(bridges []string) {
	for _, name := range bridges {
		b.notes = append(b.notes, fmt.Sprintf("the host's bridge %s has the spanning tree protocol on, and does not forward yet what comes from the lab: bridge link show tells the state of its ports", name))
	}
}

// writeNames names the network namespaces for ip netns exec, and writes their resolv.conf. A name points to
// a descriptor of the lab init: when that is gone the name leads nowhere, or, should its pid be used again, to what that
// process has open by this number, if anything, which setns(2) refuses unless somebody has taken pains. One that leads there already stays.
func writeNames(l *topology.Lab, rec *record, st *proto.LabState) error {
	err := failpoint.Hit("mkdir", NetnsDir)
	if err == nil {
		err = os.MkdirAll(NetnsDir, 0o755)
	}
	if err != nil {
		return &Error{Op: "create", Object: NetnsDir, Err: err}
	}
	if err := link(fabricAt(rec.InitPID, st), filepath.Join(NetnsDir, l.Name)); err != nil {
		return &Error{Op: "name a network namespace", Err: err}
	}
	for i := range st.Nodes {
		n := &st.Nodes[i]
		if err := link(descriptorAt(rec.InitPID, n.Netns), filepath.Join(NetnsDir, l.Name+"."+n.Name)); err != nil {
			return &Error{Op: "name a network namespace", Err: err}
		}
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if n.DNS == nil {
			continue
		}
		if _, err := dns.WriteNetns(EtcNetns, l.Name, n.Name, *n.DNS); err != nil {
			return resolvError(n.Name, err)
		}
	}
	return nil
}

// descriptorAt is where a descriptor of the lab init is on the host.
func descriptorAt(init, fd int) string { return fmt.Sprintf("/proc/%d/fd/%d", init, fd) }

// fabricAt is where the fabric is. The init of a lab that an older nsnet has made has no descriptor of it.
func fabricAt(init int, st *proto.LabState) string {
	if st.Fabric == 0 {
		return fmt.Sprintf("/proc/%d/ns/net", init)
	}
	return descriptorAt(init, st.Fabric)
}

// resolvError tells that a node's resolv.conf for ip netns exec cannot be written.
func resolvError(node string, err error) error {
	e := &Error{Node: node, Op: "write resolv.conf for ip netns exec", Err: err}
	if errors.Is(err, dns.ErrForeign) {
		e.Err, e.Remedy = fmt.Errorf("%w: %w", ErrConflict, err), "remove the file, or give the lab another name with --name"
	}
	return e
}

// link makes a symbolic link, or changes where one of this lab init leads.
func link(target, path string) error {
	err := failpoint.Hit("symlink", path)
	if err == nil {
		err = os.Symlink(target, path)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	old, rerr := os.Readlink(path)
	if rerr != nil || filepath.Dir(filepath.Dir(old)) != filepath.Dir(filepath.Dir(target)) {
		return err // a stranger's
	}
	if old == target {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}
