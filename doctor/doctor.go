package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nsnet/nsnet/cgroups"
)

// Status is how serious a finding is.
type Status string

// The statuses.
const (
	Good    Status = "ok"
	Note    Status = "note"
	Problem Status = "problem"
)

// Finding is one thing that was looked at.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"` // what to do, in words
	Fix    string `json:"fix,omitempty"`    // a command that does it
}

// Machine is what is looked at. The zero value is this one.
type Machine struct {
	// Root stands before every path that is read; tests have a directory of their own there.
	Root string
	// Lab brings a small lab up and takes it down again, nil: not to be tried.
	Lab func(context.Context) error
	// Trials are the features that are tried, nil: Features.
	Trials []Trial
	// Cgroups tells the version of the control groups and which controllers there are.
	Cgroups func() (cgroups.Version, []string, error)
	// Firewall tells what the host's firewall needs, or cannot do, for nodes to reach the outside.
	Firewall func() (rules int, notes []string, err error)
	// UID is who asks.
	UID int
}

// Examine looks at everything, in an order in which what explains another comes first.
func Examine(ctx context.Context, m Machine) []Finding {
	var all []Finding
	all = append(all, m.root())
	all = append(all, m.namespaces()...)
	all = append(all, m.ipv6())
	all = append(all, m.lab(ctx))
	all = append(all, m.cgroups()...)
	all = append(all, m.limits()...)
	all = append(all, m.firewall()...)
	all = append(all, m.storage()...)
	return append(all, m.features()...)
}

// read is the first word of a file, and whether there is one.
func (m *Machine) read(path string) (string, bool) {
	b, err := os.ReadFile(filepath.Join("/", m.Root, path))
	if err != nil {
		return "", false
	}
	f := strings.Fields(string(b))
	if len(f) == 0 {
		return "", true
	}
	return f[0], true
}

// number is a file's number.
func (m *Machine) number(path string) (int, bool) {
	s, ok := m.read(path)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// sysctl is the path of a kernel setting.
func sysctl(name string) string { return "proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// set is the command that sets one.
func set(name string, value int) string { return fmt.Sprintf("sysctl -w %s=%d", name, value) }

func (m *Machine) root() Finding {
	f := Finding{Check: "root", Status: Good, Detail: "labs can be brought up by this user"}
	ids, _ := os.ReadFile(filepath.Join("/", m.Root, "proc/self/uid_map"))
	switch {
	case m.UID != 0:
		f.Status, f.Detail, f.Remedy, f.Fix = Problem, fmt.Sprintf("user %d is not root", m.UID), "bring labs up as root", "sudo nsnet doctor"
	case len(ids) > 0 && strings.Join(strings.Fields(string(ids)), " ") != "0 0 4294967295":
		f.Status, f.Detail, f.Remedy = Problem, "this is root of a user namespace, not the machine's", "run nsnet outside of the container"
	}
	return f
}

// namespaces looks at the limits of each kind.
func (m *Machine) namespaces() []Finding {
	const few = 1000
	var found []Finding
	least, name := 1<<31-1, ""
	for _, kind := range []string{"user", "pid", "net", "mnt", "uts", "ipc", "cgroup"} {
		key := "user.max_" + kind + "_namespaces"
		n, ok := m.number(sysctl(key))
		switch {
		case !ok && kind == "user":
			found = append(found, Finding{Check: "namespaces", Status: Problem, Detail: "this kernel has no user namespaces", Remedy: "take a kernel with the option USER_NS"})
		case ok && n == 0:
			found = append(found, Finding{Check: "namespaces", Status: Problem, Detail: key + " is 0: no " + kind + " namespace can be made (\"no space left on device\")",
				Remedy: "allow them", Fix: set(key, 65536)})
		case ok && n < least:
			least, name = n, key
		}
	}
	switch {
	case len(found) > 0:
	case least < few:
		found = append(found, Finding{Check: "namespaces", Status: Note, Detail: fmt.Sprintf("%s is %d: about so many nodes", name, least), Remedy: "raise it for larger labs", Fix: set(name, 65536)})
	default:
		found = append(found, Finding{Check: "namespaces", Status: Good, Detail: fmt.Sprintf("%d of each kind at least", least)})
	}
	return found
}

// ipv6 looks whether the kernel has it, of which each interface of a lab takes its own.
func (m *Machine) ipv6() Finding {
	f := Finding{Check: "ipv6", Status: Good, Detail: "there"}
	off, there := m.read(sysctl("net.ipv6.conf.default.disable_ipv6"))
	switch {
	case !there:
		f.Status, f.Detail = Note, "this kernel has no IPv6: no lab can have IPv6 addresses, all others work"
		f.Remedy = "boot without ipv6.disable=1 on the kernel's command line, or take a kernel with the option IPV6"
	case off != "0":
		f.Detail = "there; turned off for new interfaces of the host (net.ipv6.conf.default.disable_ipv6), but not for those of labs"
	}
	return f
}

func (m *Machine) lab(ctx context.Context) Finding {
	f := Finding{Check: "lab", Status: Good, Detail: "a lab of one node came up and went down"}
	switch {
	case m.Lab == nil || m.UID != 0:
		f.Status, f.Detail = Note, "not tried: it needs root"
	default:
		if err := m.Lab(ctx); err != nil {
			f.Status, f.Detail = Problem, err.Error()
		}
	}
	return f
}
