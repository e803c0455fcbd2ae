package lab

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/topology"
)

// trySysctls returns an error for the first value of a sysctl that the kernel does not take, which new namespaces say that are nobody's.
// What else may be wrong with one, its node finds. Nodes that set the same are tried once.
func trySysctls(nodes []*topology.Node) error {
	var tried []map[string]string
	for _, n := range nodes {
		if len(n.Sysctls) == 0 || slices.ContainsFunc(tried, func(t map[string]string) bool { return maps.Equal(t, n.Sysctls) }) {
			continue
		}
		tried = append(tried, n.Sysctls)
		var err error
		onOwnThread(func() { err = tryHere(n) })
		if err != nil {
			return err
		}
	}
	return nil
}

// tryHere takes this thread into namespaces of its own, and sets a node's sysctls there. Those that belong to none of them are left out.
func tryHere(n *topology.Node) error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWIPC); err != nil {
		return nil //nolint:nilerr // then the start tells
	}
	for _, k := range container.SysctlOrder(n.Sysctls) {
		if !ofNetwork(k) && !strings.HasPrefix(k, "kernel.shm") && !strings.HasPrefix(k, "kernel.msg") && k != "kernel.sem" {
			continue
		}
		err := os.WriteFile(filepath.Join("/proc/sys", inGeneral(k)), []byte(n.Sysctls[k]), 0)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) || errors.Is(err, unix.EDOM) {
			return &Error{Node: n.Name, Op: "set sysctl", Object: k, Err: fmt.Errorf("the kernel does not take %q: %w", n.Sysctls[k], errors.Unwrap(err)), Remedy: takenValue}
		}
	}
	return nil
}

// tried are the nodes of which a change sets sysctls.
func (d *difference) tried(want *topology.Lab) (nodes []*topology.Node) {
	fresh := byName(d.add)
	for i := range want.Nodes {
		n := &want.Nodes[i]
		if fresh[n.Name] != nil || slices.ContainsFunc(d.actions, func(a Action) bool { return a.Kind == "sysctls" && a.Name == n.Name }) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// pointers are those to the nodes of a lab.
func pointers(nodes []topology.Node) []*topology.Node {
	all := make([]*topology.Node, len(nodes))
	for i := range nodes {
		all[i] = &nodes[i]
	}
	return all
}
