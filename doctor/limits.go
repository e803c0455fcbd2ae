package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/cgroups"
)

// cgroups tells which version there is and which controllers limits can use.
func (m *Machine) cgroups() []Finding {
	if m.Cgroups == nil {
		return nil
	}
	version, controllers, err := m.Cgroups()
	if err != nil {
		return []Finding{{Check: "cgroups", Status: Note, Detail: err.Error(), Remedy: "nodes with limits need them"}}
	}
	if version == cgroups.None {
		return []Finding{{Check: "cgroups", Status: Note, Detail: "no control groups are mounted: no node can have limits, and nothing bounds the memory of a lab", Remedy: "mount them", Fix: "mount -t cgroup2 none /sys/fs/cgroup"}}
	}
	f := Finding{Check: "cgroups", Status: Good, Detail: "version " + strings.TrimPrefix(string(version), "v")}
	if version == cgroups.Hybrid {
		f.Detail = "version 1 controllers beside a version 2 tree (hybrid)"
	}
	var missing []string
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(controllers, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		f.Status = Note
		f.Detail += fmt.Sprintf(", without the controllers %s: no node can have these limits", strings.Join(missing, ", "))
		if slices.Contains(missing, "memory") {
			f.Detail += ", and nothing bounds the memory of a lab"
		}
		f.Remedy = "hand them down from the root of the hierarchy, or boot with cgroup_enable=memory where the kernel has it switched off"
		if version == cgroups.V2 {
			f.Fix = "echo +" + strings.Join(missing, " +") + " >/sys/fs/cgroup/cgroup.subtree_control"
		}
	}
	return []Finding{f}
}

// bound is a limit of the whole machine that large labs meet.
type bound struct {
	check, key string
	least      int
	now        string // with the value
	remedy     string
}

// bounds are FAULTS 8, 19 and 20.
func bounds() []bound {
	return []bound{
		{"neighbours", "net.ipv4.neigh.default.gc_thresh3", 4096, "at %d neighbours in all network namespaces together packets are lost without an error: a full mesh of 32 nodes has 992", "raise it for meshes"},
		{"neighbours, IPv6", "net.ipv6.neigh.default.gc_thresh3", 4096, "at %d neighbours in all network namespaces together packets are lost without an error", "raise it for meshes"},
		{"inotify", "fs.inotify.max_user_instances", 512, "%d instances for all nodes of a lab together: programs that watch files, such as systemd and many servers, take one or more", "raise it for nodes that run such"},
		{"processes", "kernel.pid_max", 65536, "%d processes and threads on the whole machine", "raise it for large labs"},
		{"terminals", "kernel.pty.max", 1024, "%d terminals on the whole machine", "raise it for many exec -t"},
	}
}

func (m *Machine) limits() []Finding {
	var found []Finding
	for _, b := range bounds() {
		n, ok := m.number(sysctl(b.key))
		if !ok {
			continue
		}
		f := Finding{Check: b.check, Status: Good, Detail: fmt.Sprintf("%s is %d", b.key, n)}
		if n < b.least {
			f.Status, f.Detail, f.Remedy, f.Fix = Note, fmt.Sprintf(b.now+" (%s)", n, b.key), b.remedy, set(b.key, 4*b.least)
		}
		found = append(found, f)
	}
	return found
}

// firewall reports whether what is forwarded for labs is dropped.
func (m *Machine) firewall() []Finding {
	var found []Finding
	if m.Firewall != nil && m.UID == 0 {
		rules, notes, err := m.Firewall()
		f := Finding{Check: "firewall", Status: Good, Detail: "it lets pass what is forwarded for nodes"}
		switch {
		case err != nil:
			f.Status, f.Detail = Note, err.Error()
		case len(notes) > 0:
			f.Status, f.Detail, f.Remedy = Note, strings.Join(notes, "; "), "nodes on a bridge with nat do not reach the outside otherwise, nor a lab's bridges each other"
		case rules > 0:
			f.Detail = "it drops what is forwarded, as with Docker; up adds rules for bridges with nat, several with an address and peers, and down takes them away"
		}
		found = append(found, f)
	}
	if v, ok := m.number(sysctl("net.bridge.bridge-nf-call-iptables")); ok && v == 1 {
		found = append(found, Finding{Check: "br_netfilter", Status: Note,
			Detail: "packets between the ports of the host's own bridges go through its firewall (net.bridge.bridge-nf-call-iptables); the bridges of labs are not concerned",
			Remedy: "switch it off if containers on one bridge of the host do not reach each other, and nothing like Kubernetes needs it", Fix: set("net.bridge.bridge-nf-call-iptables", 0)})
	}
	if _, err := os.Stat(filepath.Join("/", m.Root, "dev/net/tun")); err != nil {
		found = append(found, Finding{Check: "tun", Status: Note, Detail: "there is no /dev/net/tun: nodes with tun: true cannot make tunnels", Remedy: "load the module", Fix: "modprobe tun"})
	} else {
		found = append(found, Finding{Check: "tun", Status: Good, Detail: "nodes can have /dev/net/tun"})
	}
	return found
}
