package topology

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// What a lab holds at most. A node costs a kilobyte here and a megabyte when it runs.
const (
	maxNodes   = 30_000
	maxBridges = 30_000
	maxLinks   = 60_000
)

// atMost tells whether a section is not too long to be looked at.
func (d *decoder) atMost(n *yaml.Node, what string, count, most int) bool {
	if count > most {
		d.errorf(n, "a lab has at most %d %s, not %d", most, what, count)
	}
	return count <= most
}

// fileSpec is what the file says, section by section; each section is right on its own,
// but what it refers to was not looked up yet.
type fileSpec struct {
	name     string
	nameNode *yaml.Node
	defaults nodeSpec
	nodes    []nodeSpec
	bridges  []bridgeSpec
	links    []linkSpec
	limits   LabLimits
}

func fileKeys() []keyDef[fileSpec] {
	return []keyDef[fileSpec]{
		{"name", func(d *decoder, f *fileSpec, n *yaml.Node) {
			s, ok := d.text(n, "name")
			f.name, f.nameNode = s, n
			if !ok {
				return
			}
			if err := validateName(s); err != nil {
				d.errorf(n, "lab name %q %v", s, err)
			}
		}},
		{"defaults", func(d *decoder, f *fileSpec, n *yaml.Node) {
			decodeKeys(d, n, "defaults", &f.defaults, nodeKeys())
		}},
		{"nodes", func(d *decoder, f *fileSpec, n *yaml.Node) { f.nodes = decodeNodes(d, n) }},
		{"bridges", func(d *decoder, f *fileSpec, n *yaml.Node) { f.bridges = decodeBridges(d, n) }},
		{"links", func(d *decoder, f *fileSpec, n *yaml.Node) { f.links = decodeLinks(d, n) }},
		{"limits", func(d *decoder, f *fileSpec, n *yaml.Node) {
			decodeKeys(d, n, "the lab's limits", &f.limits, labLimitKeys())
		}},
	}
}

func decodeFile(d *decoder, root *yaml.Node) *fileSpec {
	f := &fileSpec{}
	place := &yaml.Node{Line: 1, Column: 1}
	if root == nil || isNull(root) {
		d.errorf(place, "the file is empty; the smallest has a name and nodes")
		return f
	}
	es, ok := d.entries(root, "the file")
	if !ok {
		return f
	}
	if say := foreignFile(es); say != "" {
		d.errorf(place, "%s", say)
		d.halted = true
		return f
	}
	// Keys that begin with x- are for anchors, as in Compose's files.
	es = slices.DeleteFunc(es, func(e entry) bool { return strings.HasPrefix(e.key, "x-") })
	if !decodeEntries(d, es, "the file", f, fileKeys()) {
		return f
	}
	if d.o.NameOverride != "" {
		f.name = d.o.NameOverride
		if err := validateName(f.name); err != nil {
			d.errorf(nil, "lab name %q %v", f.name, err)
		}
	} else if f.nameNode == nil {
		d.errorf(place, "name is missing: the lab needs one")
	}
	return f
}

func decodeNodes(d *decoder, n *yaml.Node) []nodeSpec {
	es, _ := d.entries(n, "nodes")
	if !d.atMost(n, "nodes", len(es), maxNodes) {
		return nil
	}
	nodes := make([]nodeSpec, 0, len(es))
	defs := nodeKeys()
	folded := make(map[string]string, len(es))
	for _, e := range es {
		if d.halted {
			break
		}
		if err := validateNode(e.key); err != nil {
			d.errorf(e.k, "node name %q %v", e.key, err)
		}
		fold := strings.ToLower(e.key)
		if other, ok := folded[fold]; ok {
			d.errorf(e.k, "node names %q and %q differ in case only; DNS knows no case", other, e.key)
		}
		folded[fold] = e.key
		nodes = append(nodes, nodeSpec{name: e.key, n: e.k})
		decodeKeys(d, e.v, "node "+e.key, &nodes[len(nodes)-1], defs)
	}
	return nodes
}
