package container

import (
	"fmt"

	"github.com/nsnet/nsnet/topology"
	"golang.org/x/sys/unix"
)

// allCapabilities has a bit for every capability this package knows. A kernel may know
// fewer: intersect it with /proc/sys/kernel/cap_last_cap.
const allCapabilities uint64 = 1<<(unix.CAP_LAST_CAP+1) - 1

// defaultCapabilities is what root in a node has when the file says nothing; see
// Capabilities.
const defaultCapabilities uint64 = 1<<unix.CAP_CHOWN |
	1<<unix.CAP_DAC_OVERRIDE |
	1<<unix.CAP_FOWNER |
	1<<unix.CAP_FSETID |
	1<<unix.CAP_KILL |
	1<<unix.CAP_SETGID |
	1<<unix.CAP_SETUID |
	1<<unix.CAP_SETPCAP |
	1<<unix.CAP_NET_BIND_SERVICE |
	1<<unix.CAP_NET_BROADCAST |
	1<<unix.CAP_NET_ADMIN |
	1<<unix.CAP_NET_RAW |
	1<<unix.CAP_SYS_CHROOT

// Capabilities returns the capabilities of a node's processes as a mask with bit
// 1<<CAP_x for each, for capset(2) and PR_CAPBSET_DROP. They hold within the node's
// user namespace only, unless the node is privileged.
//
// The default set, from capabilities(7), is what daemons need as Debian starts them - FRR, BIRD,
// keepalived, dnsmasq, dhcpcd, nginx, sshd, strongSwan, openvpn and ptp4l (package e2e/daemons) - and
// what it takes to install, reload and end them:
//
//	CHOWN, FOWNER, DAC_OVERRIDE          root in the node owns the node's files: BIRD, FRR, nginx,
//	                                     dnsmasq and dhcpcd give some to users of their own
//	FSETID                               package managers: without it a set-group-id file is none
//	SETUID, SETGID                       daemons drop to users of their own; sshd, su
//	SETPCAP                              setpriv, capsh and sandboxes give up capabilities for good
//	KILL                                 supervisors signal workers of other users: nginx's to
//	                                     reload and to end, FRR's
//	SYS_CHROOT                           sshd, dhcpcd, haproxy jail themselves
//	NET_BIND_SERVICE                     FRR, BIRD and strongSwan ask for it; here ports below
//	                                     1024 need none
//	NET_BROADCAST                        BIRD asks for it and ends without; the kernel has no use
//	                                     of it
//	NET_RAW                              ping, traceroute, tcpdump, OSPF, VRRP, DHCP
//	NET_ADMIN                            what a lab is for: addresses, routes, tc, nft, tun
//
// Left out, and why:
//
//	SYS_ADMIN        mounts and namespaces: most kernel bugs begin there. FRR's zebra and
//	                 "ip netns" want it: a node of theirs adds it
//	SYS_PTRACE       with it root could take over the node's init, which has more, so that
//	                 no other line of this table would hold. strace of own children works
//	                 without
//	AUDIT_WRITE      the kernel refuses audit to all user namespaces with ECONNREFUSED,
//	                 which libaudit takes for "no audit here": sshd works without
//	MKNOD            never honoured in a user namespace; whiteouts and fifos need none
//	SETFCAP          setcap of files only; programs that have file capabilities run
//	SYS_NICE, SYS_RESOURCE, SYS_TIME, SYS_BOOT, SYS_MODULE, SYS_RAWIO
//	                 the host's: refused in a user namespace, whatever the mask. ptp4l finds its
//	                 master and goes on where it may not set the clock. SYS_RESOURCE opens
//	                 io_setup(2), of which fs.aio-max-nr contexts are the whole machine's
//	IPC_LOCK         mlock(2) beyond RLIMIT_MEMLOCK would take the host's memory; openvpn
//	                 asks for it with mlock in its configuration alone
//	DAC_READ_SEARCH  open_by_handle_at(2), of CVE-2014-3545, and nothing that DAC_OVERRIDE
//	                 does not do for the node's own files
//
// Names in c are those of linux/capability.h without CAP_, upper case, or ALL. A
// privileged node starts with all instead of the default. Adding comes before dropping,
// but dropping ALL comes first: "drop: [ALL], add: [KILL]" leaves KILL. An unknown name
// is an error.
func Capabilities(c topology.Caps, privileged bool) (mask uint64, err error) {
	add, _, err := capabilityMask(c.Add)
	if err != nil {
		return 0, err
	}
	drop, dropAll, err := capabilityMask(c.Drop)
	if err != nil {
		return 0, err
	}
	mask = defaultCapabilities
	if privileged {
		mask = allCapabilities
	}
	if dropAll {
		return add, nil
	}
	return (mask | add) &^ drop, nil
}

// capabilityMask returns the mask of the capabilities named, and whether ALL is one.
func capabilityMask(names []string) (mask uint64, all bool, err error) {
	for _, name := range names {
		if name == "ALL" {
			mask, all = allCapabilities, true
			continue
		}
		bit, ok := capabilityBit(name)
		if !ok {
			return 0, false, fmt.Errorf("unknown capability %q", name)
		}
		mask |= 1 << bit
	}
	return mask, all, nil
}

// capabilityBit returns the number of a capability of linux/capability.h.
func capabilityBit(name string) (uint, bool) {
	for bit, n := range capabilityNames {
		if n == name {
			return uint(bit), true
		}
	}
	return 0, false
}

// capabilityNames is indexed by capability number.
var capabilityNames = [...]string{
	unix.CAP_CHOWN:              "CHOWN",
	unix.CAP_DAC_OVERRIDE:       "DAC_OVERRIDE",
	unix.CAP_DAC_READ_SEARCH:    "DAC_READ_SEARCH",
	unix.CAP_FOWNER:             "FOWNER",
	unix.CAP_FSETID:             "FSETID",
	unix.CAP_KILL:               "KILL",
	unix.CAP_SETGID:             "SETGID",
	unix.CAP_SETUID:             "SETUID",
	unix.CAP_SETPCAP:            "SETPCAP",
	unix.CAP_LINUX_IMMUTABLE:    "LINUX_IMMUTABLE",
	unix.CAP_NET_BIND_SERVICE:   "NET_BIND_SERVICE",
	unix.CAP_NET_BROADCAST:      "NET_BROADCAST",
	unix.CAP_NET_ADMIN:          "NET_ADMIN",
	unix.CAP_NET_RAW:            "NET_RAW",
	unix.CAP_IPC_LOCK:           "IPC_LOCK",
	unix.CAP_IPC_OWNER:          "IPC_OWNER",
	unix.CAP_SYS_MODULE:         "SYS_MODULE",
	unix.CAP_SYS_RAWIO:          "SYS_RAWIO",
	unix.CAP_SYS_CHROOT:         "SYS_CHROOT",
	unix.CAP_SYS_PTRACE:         "SYS_PTRACE",
	unix.CAP_SYS_PACCT:          "SYS_PACCT",
	unix.CAP_SYS_ADMIN:          "SYS_ADMIN",
	unix.CAP_SYS_BOOT:           "SYS_BOOT",
	unix.CAP_SYS_NICE:           "SYS_NICE",
	unix.CAP_SYS_RESOURCE:       "SYS_RESOURCE",
	unix.CAP_SYS_TIME:           "SYS_TIME",
	unix.CAP_SYS_TTY_CONFIG:     "SYS_TTY_CONFIG",
	unix.CAP_MKNOD:              "MKNOD",
	unix.CAP_LEASE:              "LEASE",
	unix.CAP_AUDIT_WRITE:        "AUDIT_WRITE",
	unix.CAP_AUDIT_CONTROL:      "AUDIT_CONTROL",
	unix.CAP_SETFCAP:            "SETFCAP",
	unix.CAP_MAC_OVERRIDE:       "MAC_OVERRIDE",
	unix.CAP_MAC_ADMIN:          "MAC_ADMIN",
	unix.CAP_SYSLOG:             "SYSLOG",
	unix.CAP_WAKE_ALARM:         "WAKE_ALARM",
	unix.CAP_BLOCK_SUSPEND:      "BLOCK_SUSPEND",
	unix.CAP_AUDIT_READ:         "AUDIT_READ",
	unix.CAP_PERFMON:            "PERFMON",
	unix.CAP_BPF:                "BPF",
	unix.CAP_CHECKPOINT_RESTORE: "CHECKPOINT_RESTORE",
}
