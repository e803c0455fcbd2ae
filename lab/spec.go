package lab

import (
	"fmt"
	"os"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// spec is what the lab init is told.
func (b *builder) spec() (*proto.LabSpec, error) {
	setups, common, err := b.setupNodes()
	if err != nil {
		return nil, err
	}
	s := &proto.LabSpec{Lab: *b.lab, UserNS: b.rec.UserNS, Nodes: setups, Common: common,
		Slots: b.rec.ids().slots()}
	// Inside the lab's user namespace ids count from 0.
	if s.Base, s.Owner = container.IDs, firstOwnerID; !b.rec.UserNS {
		s.Base, s.Owner = b.rec.ids().of(0), b.rec.Powers+firstOwnerID
	}
	return s, nil
}

// setupNodes is what the lab init is told of the nodes to start.
func (b *builder) setupNodes() (setups []proto.NodeSetup, common proto.Common, err error) {
	filters := map[string]int{}
	hosts, ownHosts := dns.Hosts(b.lab), dns.Own(b.lab)
	memory, err := memorySize()
	if err != nil {
		return nil, common, &Error{Op: "look at the machine's memory", Err: err}
	}
	for i := range b.nodes {
		n := &b.nodes[i]
		caps, err := container.Capabilities(n.Caps, n.Privileged)
		if err != nil {
			return nil, common, &Error{Node: n.Name, Op: "capabilities", Err: err}
		}
		above, layers := b.mounts.stack(n)
		setup := proto.NodeSetup{Caps: caps, Filter: -1, Above: len(above), Layers: len(layers), Assembled: b.mounts.assembles || copiesRoot(n), Apart: isApart(n)}
		setup.Digest, setup.Command = digests(b.given[n.Name])
		setup.Made = b.made(n)
		if setup.Assembled {
			setup.Above, setup.Layers = 0, 0
		}
		if profile := n.Seccomp; profile != "unconfined" && !n.Privileged {
			key := fmt.Sprintf("%s %x", profile, caps)
			at, ok := filters[key]
			if !ok {
				f, err := container.SeccompFilter(profile, caps)
				if err != nil {
					return nil, common, &Error{Node: n.Name, Op: "seccomp", Err: err}
				}
				at = len(common.Filters)
				filters[key] = at
				common.Filters = append(common.Filters, f)
			}
			setup.Filter = at
		}
		setup.Resolv, setup.Hosts = namesOf(n, hosts, ownHosts[n.Name])
		setup.IPC = container.IPCSysctls(n, memory, int64(os.Getpagesize()))
		setups = append(setups, setup)
	}
	for _, m := range container.MaskedPaths() {
		if _, err := os.Lstat("/" + m); err == nil {
			common.Masks = append(common.Masks, m)
		}
	}
	return setups, common, nil
}

// namesOf is a node's own resolv.conf and /etc/hosts, nil where it has the common ones. Hosts are those of the lab,
// lines what the node has besides.
func namesOf(n *topology.Node, hosts []byte, lines []string) (resolv, own []byte) {
	if n.DNS != nil {
		resolv = dns.ResolvConf(*n.DNS)
	}
	if len(lines) > 0 {
		own = dns.AppendHosts(hosts, lines)
	}
	return resolv, own
}
