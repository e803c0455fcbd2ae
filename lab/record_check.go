package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/topology"
)

// errUntrue is a record that says what none of nsnet's says: it is damaged, or another lab's. What it names is not touched.
var errUntrue = errors.New("it is damaged or another lab's")

// decodeRecord reads the record of the lab that a directory is for.
func decodeRecord(dir string, b []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	if r.Schema > schema {
		return nil, fmt.Errorf("%w (version %d of the record, this one knows %d)", errNewer, r.Schema, schema)
	}
	return r, r.check(dir)
}

// check looks whether a record can be the one of the lab that a directory is for. What is written in it decides what is
// removed from the host, by root.
func (r *record) check(dir string) error {
	switch name := filepath.Base(dir); {
	case r.Schema < 1:
		return fmt.Errorf("%w: it has no version", errUntrue)
	case r.Name != name:
		return fmt.Errorf("%w: it says that it is of lab %q", errUntrue, r.Name)
	case r.IDs != 0 && !r.ids().fits():
		return fmt.Errorf("%w: ids from %d on, %d of them, and from %d on, are no lab's", errUntrue, r.Base, r.IDs, r.Powers)
	}
	for _, link := range slices.Concat(r.Links, r.Routed) {
		if !bridge.OwnName(link) {
			return fmt.Errorf("%w: it names the interface %q", errUntrue, link)
		}
	}
	for _, n := range r.Netns {
		if node, of := strings.CutPrefix(n, r.Name+"."); n != r.Name && (!of || !validName(node)) {
			return fmt.Errorf("%w: it names the network namespace %q", errUntrue, n)
		}
	}
	if i := slices.IndexFunc(r.DNS, func(n string) bool { return !validName(n) }); i >= 0 {
		return fmt.Errorf("%w: it names the node %q", errUntrue, r.DNS[i])
	}
	for _, rule := range r.Rules {
		if err := rule.Check(r.Name); err != nil {
			return fmt.Errorf("%w: %w", errUntrue, err)
		}
	}
	for _, s := range r.Sysctls {
		if err := s.Check(); err != nil {
			return fmt.Errorf("%w: %w", errUntrue, err)
		}
	}
	for _, w := range r.Work {
		if !filepath.IsAbs(w.Parent) || w.Layer != filepath.Base(w.Layer) {
			return fmt.Errorf("%w: it names a work directory beside %q in %q", errUntrue, w.Layer, w.Parent)
		}
	}
	return nil
}

// decodeLab reads what the lab that a directory is for was told to be. Its nodes' names become those of files.
func decodeLab(dir string, b []byte) (*topology.Lab, error) {
	l := &topology.Lab{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, err
	}
	if name := filepath.Base(dir); l.Name != name {
		return nil, fmt.Errorf("%w: it says that it is of lab %q", errUntrue, l.Name)
	}
	for i := range l.Nodes {
		if name := l.Nodes[i].Name; !validName(name) {
			return nil, fmt.Errorf("%w: it names the node %q", errUntrue, name)
		}
	}
	return l, nil
}
