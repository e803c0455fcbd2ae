package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// AttachDir is the directory, below RunDir, of what package attach writes down of each interface that it has attached. No lab can have this name.
const AttachDir = ".attach"

// attachment is what a lab has to know of an interface on one of its bridges that is not the lab's.
type attachment struct {
	ID      string `json:"id"`
	Request struct {
		Target struct {
			Kind string `json:"kind"` // as the option of nsnet detach
			Name string `json:"name"`
		} `json:"target"`
		Interface string `json:"interface"`
		Via       struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
			Lab  string `json:"lab"` // whose bridge it is; empty: the host's
		} `json:"via"`
	} `json:"request"`
	Port      string         `json:"port"`
	Addresses []netip.Prefix `json:"addresses"`
}

// attachments reads what is written down of interfaces on bridges. What cannot be read is left to package attach, which tells of it.
func attachments() (on []attachment) {
	dir := filepath.Join(RunDir, AttachDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // nothing was ever attached
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue // it is being made, or taken away
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		var a attachment
		if err == nil && json.Unmarshal(b, &a) == nil && a.Request.Via.Kind == "bridge" {
			on = append(on, a)
		}
	}
	return on
}

// claimed is an address that a lab's file gives away.
type claimed struct {
	address netip.Addr
	node    string // empty: the host
}

// claims are the addresses of a bridge, by what the file says.
func claims(l *topology.Lab, b *topology.Bridge) (out []claimed) {
	for _, p := range b.Addresses {
		out = append(out, claimed{p.Addr(), ""})
	}
	for i := range l.Links {
		if k := &l.Links[i]; k.B.Bridge == b.Name {
			for _, p := range k.A.Addresses {
				out = append(out, claimed{p.Addr(), k.A.Node})
			}
		}
	}
	return out
}

// checkAttached refuses an address that an attached interface on the same bridge has. Addresses are decided by the file alone, also those that it
// leaves to nsnet, so that none is given in its place.
func (b *builder) checkAttached() error {
	all := attachments()
	for i := range all {
		a := &all[i]
		via := &a.Request.Via
		at := slices.IndexFunc(b.lab.Bridges, func(t topology.Bridge) bool {
			return t.Name == via.Name && (t.External && via.Lab == "" || !t.External && via.Lab == b.lab.Name)
		})
		if at < 0 {
			continue
		}
		for _, c := range claims(b.lab, &b.lab.Bridges[at]) {
			if !slices.ContainsFunc(a.Addresses, func(p netip.Prefix) bool { return p.Addr() == c.address }) {
				continue
			}
			plugged, err := a.plugged()
			if err != nil {
				return &Error{Op: "look at what is attached to bridge " + via.Name, Err: err}
			}
			if plugged {
				return a.has(c)
			}
		}
	}
	return nil
}

// has is the error of an address that is an attachment's.
func (a *attachment) has(c claimed) error {
	q := &a.Request
	who := "it another"
	if c.node == "" {
		who = "the bridge another"
	}
	return &Error{Node: c.node, Object: c.address.String(),
		Err:    fmt.Errorf("%w: the address is in use on bridge %s, by %s of %s %s, which nsnet attach has attached", ErrConflict, q.Via.Name, q.Interface, q.Target.Kind, q.Target.Name),
		Remedy: fmt.Sprintf("give %s with address in the file, or take that away with nsnet detach --%s %s --ifname %s", who, q.Target.Kind, q.Target.Name, q.Interface)}
}

// plugged reports whether an attachment is on its bridge still: its port goes with its target, and with its bridge it is plugged into nothing.
func (a *attachment) plugged() (bool, error) {
	via := &a.Request.Via
	var ns *os.File
	if via.Lab != "" {
		var err error
		if ns, _, err = Fabric(via.Lab); errors.Is(err, ErrNotRunning) || errors.Is(err, ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		defer ns.Close()
	}
	c, err := rtnl.Dial(ns)
	if err != nil {
		return false, err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return false, err
	}
	port := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == a.Port && wiring.Attached(l.Alias) })
	on := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == via.Name })
	return port >= 0 && on >= 0 && links[port].Master == links[on].Index, nil
}

// sayUnplugged names, of each bridge that goes, the attached interfaces that are on it: they stay, and lead nowhere.
func (d *difference) sayUnplugged(lab string) error {
	goes := func(a *Action) bool { return a.Op == "-" && a.Kind == "bridge" }
	if !slices.ContainsFunc(d.actions, func(a Action) bool { return goes(&a) }) {
		return nil
	}
	all := attachments()
	for i := range d.actions {
		act := &d.actions[i]
		if !goes(act) {
			continue
		}
		var who []string
		for j := range all {
			q := &all[j].Request
			if q.Via.Lab != lab || q.Via.Name != act.Name {
				continue
			}
			plugged, err := all[j].plugged()
			if err != nil {
				return &Error{Lab: lab, Op: "look at what is attached to bridge " + act.Name, Err: err}
			}
			if plugged {
				who = append(who, fmt.Sprintf("%s of %s %s", q.Interface, q.Target.Kind, q.Target.Name))
			}
		}
		slices.Sort(who)
		if len(who) > 0 {
			act.Reason = "it unplugs " + strings.Join(who, ", ") + ", attached to it"
		}
	}
	return nil
}
