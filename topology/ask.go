package topology

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// AskKind is a kind of what a file has to ask for, as --allow names it.
type AskKind string

// The kinds of what a file has to ask for.
const (
	AskCaps       AskKind = "caps"       // capabilities beyond the default ones
	AskExternal   AskKind = "external"   // bridges of the host
	AskNNP        AskKind = "nnp"        // set-user-ID programs that work
	AskPaths      AskKind = "paths"      // files of the host that are not beneath the file's directory
	AskPeers      AskKind = "peers"      // bridges of other labs
	AskPorts      AskKind = "ports"      // published on other addresses than loopback ones
	AskPrivileged AskKind = "privileged" // the host's root
	AskSeccomp    AskKind = "seccomp"    // every system call
	AskSubnets    AskKind = "subnets"    // the host's packets to networks that are others'
	AskWrites     AskKind = "writes"     // what a node's root writes on the host is root's
)

// AskKinds lists the kinds, sorted.
func AskKinds() []AskKind {
	return []AskKind{AskCaps, AskExternal, AskNNP, AskPaths, AskPeers, AskPorts, AskPrivileged, AskSeccomp, AskSubnets, AskWrites}
}

// Ask is one thing that a lab wants and a stranger's file must not have unasked. Equal ones are the same thing,
// whichever nodes want it: a file decides what each of its nodes runs.
type Ask struct {
	Kind AskKind `json:"kind"`
	// What is a capability, a bridge, a subnet, one of another lab as LAB/BRIDGE, a port as 0.0.0.0:80/tcp, the path of a file without symbolic links, or an image of the
	// Docker Engine; empty for kinds of which there is only one.
	What  string `json:"what,omitempty"`
	Write bool   `json:"write,omitempty"` // of AskPaths: not only to read
}

// String says what is asked for: "the path /srv, to read".
func (a Ask) String() string {
	switch a.Kind {
	case AskCaps:
		return "the capability " + a.What
	case AskExternal:
		return "the host's bridge " + a.What
	case AskNNP:
		return "nnp: false, with which set-user-ID programs work"
	case AskPaths:
		switch {
		case strings.HasPrefix(a.What, string(ImageDockerDaemon)):
			return "the image " + a.What
		case a.Write:
			return "the path " + a.What + ", to read and write"
		}
		return "the path " + a.What + ", to read"
	case AskPeers:
		return "the other lab's bridge " + a.What
	case AskPorts:
		return "the host's port " + a.What
	case AskPrivileged:
		return "privileged: true, which is root of the host"
	case AskSeccomp:
		return "seccomp: unconfined, which is every system call"
	case AskSubnets:
		return "what the host sends to " + a.What
	case AskWrites:
		return "writing as root in " + a.What
	}
	return strings.TrimSpace(string(a.Kind) + " " + a.What)
}

// Asks lists what the lab has to ask for, each once, in the file's order as far as AskedAt knows it.
func (l *Lab) Asks() []Ask {
	var asks []Ask
	seen := map[Ask]bool{}
	for a := range l.asks() {
		if !seen[a] {
			seen[a] = true
			asks = append(asks, a)
		}
	}
	slices.SortStableFunc(asks, func(a, b Ask) int {
		x, y := l.AskedAt[a], l.AskedAt[b]
		if x.Line != y.Line {
			return x.Line - y.Line
		}
		return x.Column - y.Column
	})
	return asks
}

// asker is what of a lab asks: a node by its index and, where it is about one, a path, or a port by its index; or a bridge.
type asker struct {
	node, bridge int
	path         string
	port         int
}

// asks goes through all that is asked for, and by what.
func (l *Lab) asks() iter.Seq2[Ask, asker] {
	return func(yield func(Ask, asker) bool) {
		usual := DefaultCaps()
		for i := range l.Nodes {
			n := &l.Nodes[i]
			by := asker{node: i}
			if !n.asksForRights(usual, by, yield) || !l.asksForFiles(n, by, yield) {
				return
			}
		}
		for i := range l.Bridges {
			b := &l.Bridges[i]
			if b.External && !yield(Ask{Kind: AskExternal, What: b.Name}, asker{bridge: i}) {
				return
			}
			for _, a := range b.Addresses {
				if !b.External && TakesOthers(a.Masked()) && !yield(Ask{Kind: AskSubnets, What: a.Masked().String()}, asker{bridge: i}) {
					return
				}
			}
			for _, p := range b.Peers {
				if !yield(Ask{Kind: AskPeers, What: p}, asker{bridge: i}) {
					return
				}
			}
		}
	}
}

// asksForRights goes through what a node asks for of the kernel, beyond the usual capabilities, and of the host's addresses. A privileged one
// has every capability and system call.
func (n *Node) asksForRights(usual []string, by asker, yield func(Ask, asker) bool) bool {
	if n.Privileged {
		if !yield(Ask{Kind: AskPrivileged}, by) {
			return false
		}
	} else {
		for _, name := range n.Caps.Add {
			if !slices.Contains(usual, name) && !yield(Ask{Kind: AskCaps, What: name}, by) {
				return false
			}
		}
		if n.Seccomp == "unconfined" && !yield(Ask{Kind: AskSeccomp}, by) {
			return false
		}
	}
	if !n.NoNewPrivs && !yield(Ask{Kind: AskNNP}, by) {
		return false
	}
	for i, p := range n.Ports {
		by.port = i
		if !p.HostAddr.IsLoopback() && !yield(Ask{Kind: AskPorts, What: fmt.Sprintf("%s/%s", netip.AddrPortFrom(p.HostAddr, p.HostPort), p.Protocol)}, by) {
			return false
		}
	}
	return true
}

// asksForFiles goes through what a node asks for of the host's files.
func (l *Lab) asksForFiles(n *Node, by asker, yield func(Ask, asker) bool) bool {
	file := func(path string, write, asRoot bool) bool {
		if path == "" {
			return true
		}
		by.path = path
		p := l.HostPath(path)
		if p.Beneath == "" && !yield(Ask{AskPaths, p.Real, write}, by) {
			return false
		}
		return !asRoot || yield(Ask{Kind: AskWrites, What: p.Real}, by)
	}
	image := func(i *Image, write bool) bool {
		if i.Kind == ImageDockerDaemon {
			by.path = ""
			return yield(Ask{Kind: AskPaths, What: i.String()}, by)
		}
		return file(i.Path, write, write)
	}
	if !image(&n.Image, false) {
		return false
	}
	for i := range n.Binds {
		if b := &n.Binds[i]; !file(b.Source, !b.ReadOnly, !b.ReadOnly && b.IDMap) {
			return false
		}
	}
	for i := range n.Layers {
		if !image(&n.Layers[i].Image, false) {
			return false
		}
	}
	for i := range n.Unions {
		for j := range n.Unions[i].Layers {
			if k := &n.Unions[i].Layers[j]; !image(&k.Image, k.Writable) {
				return false
			}
		}
	}
	return true
}

// askedAt finds where the file, which has no errors, first asks for each thing. A file may ask for as many things as it has room
// for: nothing is looked for here.
func (r *resolver) askedAt() map[Ask]Error {
	var at map[Ask]Error
	for a, by := range r.lab.asks() {
		if _, known := at[a]; known {
			continue
		}
		if at == nil {
			at = map[Ask]Error{}
		}
		at[a] = r.d.at(r.placeOf(a, by), "asks for %s", []any{a})
	}
	return at
}

// placeOf returns what of the file asks for something.
func (r *resolver) placeOf(a Ask, by asker) *yaml.Node {
	if a.Kind == AskExternal {
		return r.f.bridges[by.bridge].external.n
	}
	if a.Kind == AskPeers {
		return r.f.bridges[by.bridge].peers.n
	}
	if a.Kind == AskSubnets {
		return r.f.bridges[by.bridge].address.n
	}
	s := &r.f.nodes[by.node]
	switch a.Kind {
	case AskCaps:
		return s.caps.n
	case AskNNP:
		return s.nnp.n
	case AskPorts:
		return s.ports.v[by.port].n
	case AskPrivileged:
		return s.privileged.n
	case AskSeccomp:
		return s.seccomp.n
	}
	if by.path == "" {
		return s.image.n
	}
	return r.d.pathAt[by.path]
}
