package index

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// File says of a lab what commands on one node need: that it is built, whether its nodes have control groups, and
// which nodes there are. They would else decode the whole record, which for a thousand nodes takes longer than the command
// itself. It follows from the record and is there only while it agrees with it: before the topology is written, the index
// is removed. Without an index the record is read, as it is for a lab of an nsnet that wrote none.
const File = "index"

// Index is the content of File.
type Index struct {
	Limits bool   // the nodes have control groups
	names  []byte // of the nodes, each between two line feeds
}

// The first line of an index: its version, and whether the nodes have control groups.
const (
	plain      = "1 plain"
	withLimits = "1 limits"
)

// New returns the index of a lab that has these nodes.
func New(limits bool, nodes []string) Index {
	names := []byte{'\n'}
	for i := range nodes {
		names = append(append(names, nodes[i]...), '\n')
	}
	return Index{limits, names}
}

// Parse returns the index that Bytes has made these of, or false for what this nsnet does not know.
func Parse(b []byte) (Index, bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return Index{}, false
	}
	first := string(b[:end])
	return Index{first == withLimits, b[end:]}, first == withLimits || first == plain
}

// Bytes returns what Parse takes.
func (x Index) Bytes() []byte {
	first := plain
	if x.Limits {
		first = withLimits
	}
	return append([]byte(first), x.names...)
}

// Has reports whether the lab has a node.
func (x Index) Has(node string) bool {
	return node != "" && !strings.Contains(node, "\n") && bytes.Contains(x.names, []byte("\n"+node+"\n"))
}

// Read returns the index of a lab, or false where there is none that is known.
func Read(dir string) (Index, bool) {
	b, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		return Index{}, false
	}
	return Parse(b)
}
