package topology

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// capNames are the capabilities of Linux 5.15 and later (capabilities(7)), without CAP_.
func capNames() []string {
	return []string{
		"AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE",
		"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL",
		"LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
		"NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG",
		"SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE",
		"SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
	}
}

// DefaultCaps lists the capabilities that a node has when its file says nothing, sorted. Package container says what each is for.
func DefaultCaps() []string {
	return []string{
		"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW",
		"SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
	}
}

// caps takes a list of capabilities: NAME adds, -NAME drops.
func (d *decoder) caps(n *yaml.Node) opt[Caps] {
	items, ok := d.list(n, "caps")
	if !ok {
		return opt[Caps]{}
	}
	var c Caps
	seen := map[string]bool{}
	names := capNames()
	for _, item := range items {
		item = d.in(item)
		s, ok := d.text(item, "a capability")
		if !ok {
			continue
		}
		name, drop := strings.CutPrefix(s, "-")
		name = strings.TrimPrefix(strings.ToUpper(strings.TrimPrefix(name, "+")), "CAP_")
		switch {
		case !slices.Contains(names, name):
			d.errorf(item, "unknown capability %q%s", s, didYouMean(name, names))
			continue
		case seen[name]:
			d.errorf(item, "capability %s is named twice", name)
			continue
		}
		seen[name] = true
		if drop {
			c.Drop = append(c.Drop, name)
		} else {
			c.Add = append(c.Add, name)
		}
	}
	slices.Sort(c.Add)
	slices.Sort(c.Drop)
	return opt[Caps]{c, n}
}
