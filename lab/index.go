package lab

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// indexFile says of a lab what commands on one node need: that it is built, whether its nodes have control groups, and
// which nodes there are. They would else decode the whole record, which for a thousand nodes takes longer than the command
// itself. It follows from the record and is there only while it agrees with it: before the topology is written, the index
// is removed. Without an index the record is read, as it is for a lab of an nsnet that wrote none.
const indexFile = "index"

// index is the content of indexFile.
type index struct {
	limits bool   // see record
	names  []byte // of the nodes, each between two line feeds
}

// The first line of an index: its version, and whether the nodes have control groups.
const (
	indexPlain  = "1 plain"
	indexLimits = "1 limits"
)

// newIndex returns the index of a lab that has these nodes.
func newIndex(limits bool, nodes []topology.Node) index {
	names := []byte{'\n'}
	for i := range nodes {
		names = append(append(names, nodes[i].Name...), '\n')
	}
	return index{limits, names}
}

// parseIndex returns the index that bytes has made these of, or false for what this nsnet does not know.
func parseIndex(b []byte) (index, bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return index{}, false
	}
	first := string(b[:end])
	return index{first == indexLimits, b[end:]}, first == indexLimits || first == indexPlain
}

func (x index) bytes() []byte {
	first := indexPlain
	if x.limits {
		first = indexLimits
	}
	return append([]byte(first), x.names...)
}

// has reports whether the lab has a node.
func (x index) has(node string) bool {
	return node != "" && !strings.Contains(node, "\n") && bytes.Contains(x.names, []byte("\n"+node+"\n"))
}

// readIndex returns the index of a lab, or false where there is none that is known.
func readIndex(dir string) (index, bool) {
	b, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		return index{}, false
	}
	return parseIndex(b)
}

// writeIndex writes the index of a lab whose record and topology are written. The caller holds the lab's lock.
func writeIndex(dir string, x index) error {
	if err := failpoint.Hit("write", indexFile); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, indexFile), x.bytes(), 0o600, renameio.WithTempDir(dir))
}

// dropIndex removes the index of a lab whose topology or record is about to be another one.
func dropIndex(dir string) error {
	if err := failpoint.Hit("remove", indexFile); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, indexFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// recordHas reports whether a lab has a node: by its index, or else by its topology.
func recordHas(dir, name string) (bool, error) {
	if x, ok := readIndex(dir); ok {
		return x.has(name), nil
	}
	l, err := readLab(dir)
	if err != nil {
		return false, err
	}
	return hasNode(l, name), nil
}

// hasLimits reports whether the nodes of a lab have control groups: by its index, or else by its record. A lab that a down is
// removing has none.
func hasLimits(dir string) bool {
	if x, ok := readIndex(dir); ok {
		return x.limits
	}
	r, err := readRecord(dir)
	return err == nil && r.Limits
}

// isBuilt reports whether a lab's up has come to its end: by its index, or else by its record.
func isBuilt(dir string) (bool, error) {
	if _, ok := readIndex(dir); ok {
		return true, nil
	}
	r, err := readRecord(dir)
	if err != nil {
		return false, err
	}
	return r.Built, nil
}
