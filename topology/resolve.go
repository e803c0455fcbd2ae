package topology

import (
	"net/netip"

	"go.yaml.in/yaml/v4"
)

// resolver turns what the file says into the Lab it means.
type resolver struct {
	d   *decoder
	f   *fileSpec
	lab *Lab

	nodes   map[string]int // index in f.nodes and lab.Nodes
	bridges map[string]int
	nets    []bridgeNet // beside lab.Bridges
	wires   []wire      // beside f.links
	ends    [][]int     // of each node, the wires it is on; a wire from a node to itself twice

	owners  map[netip.Addr]owner // of each address
	macs    map[string]owner
	roots   map[layeredRoot]bool   // those that were checked
	writes  map[string]unionWriter // of each directory that unions write, one of them
	real    map[string]string      // directories of layers without symbolic links
	overlap map[*yaml.Node]bool    // layers that were looked at, which those of the defaults are for every node
	names   [2][]string            // of nodes and bridges, for suggestions; filled when first needed
}

// owner is who has an address, and where the file says so.
type owner struct {
	who string
	n   *yaml.Node
}

func resolve(d *decoder, f *fileSpec) *resolver {
	r := &resolver{d: d, f: f,
		lab: &Lab{Name: f.name, Dir: d.source.dir, Limits: f.limits,
			Nodes:   make([]Node, len(f.nodes)),
			Bridges: make([]Bridge, len(f.bridges)),
			Links:   make([]Link, 0, len(f.links)),
		},
		nodes:   make(map[string]int, len(f.nodes)),
		bridges: make(map[string]int, len(f.bridges)),
		nets:    make([]bridgeNet, len(f.bridges)),
		wires:   make([]wire, 0, len(f.links)),
		ends:    make([][]int, len(f.nodes)),
		owners:  make(map[netip.Addr]owner, len(f.links)),
		macs:    make(map[string]owner, len(f.links)),
	}
	for i := range f.nodes {
		r.nodes[f.nodes[i].name] = i
	}
	for i := range f.bridges {
		b := &f.bridges[i]
		r.bridges[b.name] = i
		if _, ok := r.nodes[b.name]; ok {
			d.errorf(b.n, "%q is a node and a bridge; a name means one of them", b.name)
		}
	}
	r.resolveBridges()
	r.connect()
	r.address()
	r.resolveNodes()
	r.depends()
	for i := range r.wires {
		r.lab.Links = append(r.lab.Links, r.wires[i].link)
	}
	return r
}

// claim records who has an address, and reports the second to claim it.
func (r *resolver) claim(a netip.Addr, who string, n *yaml.Node) bool {
	// A link-local address means something on its own link only.
	if a.IsLinkLocalUnicast() {
		return true
	}
	if other, ok := r.owners[a]; ok {
		r.d.errorf(n, "duplicate address %s: %s has it already (line %d)", a, other.who, other.n.Line)
		return false
	}
	r.owners[a] = owner{who, n}
	return true
}

// claimMAC is claim for hardware addresses.
func (r *resolver) claimMAC(mac, who string, n *yaml.Node) {
	if other, ok := r.macs[mac]; ok {
		r.d.errorf(n, "duplicate mac %s: %s has it already (line %d)", mac, other.who, other.n.Line)
		return
	}
	r.macs[mac] = owner{who, n}
}

// suggestNode is didYouMean among the nodes' names.
func (r *resolver) suggestNode(word string) string {
	if r.d.full() {
		return ""
	}
	if r.names[0] == nil {
		for i := range r.f.nodes {
			r.names[0] = append(r.names[0], r.f.nodes[i].name)
		}
	}
	return didYouMean(word, r.names[0])
}

// suggestBridge is didYouMean among the bridges' names.
func (r *resolver) suggestBridge(word string) string {
	if r.d.full() {
		return ""
	}
	if r.names[1] == nil {
		for i := range r.f.bridges {
			r.names[1] = append(r.names[1], r.f.bridges[i].name)
		}
	}
	return didYouMean(word, r.names[1])
}
