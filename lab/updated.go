package lab

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// limitsSuffix ends the name of the file, in a lab's directory, that has the limits which Update has given a node. It takes the
// place of what the topology says of that, until a change of the lab: to write a topology anew for each update would take longer the
// larger the lab is.
const limitsSuffix = ".limits"

// limitsOf returns the limits that a node has.
func limitsOf(dir string, n *topology.Node) (topology.Limits, error) {
	if l, err := readLimits(dir, n.Name); l != nil || err != nil {
		return *l, err
	}
	return n.Limits, nil
}

// readLimits returns what Update has given a node, nil if it was not updated.
func readLimits(dir, node string) (*topology.Limits, error) {
	b, err := os.ReadFile(filepath.Join(dir, node+limitsSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // that is the answer
	}
	l := &topology.Limits{}
	if err == nil {
		err = json.Unmarshal(b, l)
	}
	return l, err
}

func writeLimits(dir, node string, l topology.Limits) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := failpoint.Hit("write", node+limitsSuffix); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, node+limitsSuffix), b, 0o600, renameio.WithTempDir(dir))
}

// updated lists the files of nodes that were updated.
func updated(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), limitsSuffix) && e.Name()[0] != '.' { // else one in the making
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// withUpdates gives the nodes of a lab the limits that Update has given them, and reports whether there are any such.
func withUpdates(dir string, l *topology.Lab) (bool, error) {
	names, err := updated(dir)
	if err != nil || len(names) == 0 {
		return false, err
	}
	nodes := byName(l.Nodes)
	for _, name := range names {
		node, _ := strings.CutSuffix(name, limitsSuffix)
		limits, err := readLimits(dir, node)
		if err != nil {
			return false, err
		}
		if n := nodes[node]; n != nil && limits != nil {
			n.Limits = *limits
		}
	}
	return true, nil
}

// dropLimits removes what Update has written. From then on the topology alone counts.
func dropLimits(dir string) error {
	names, err := updated(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := failpoint.Hit("remove", name); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
