package container

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nsnet/nsnet/topology"
)

// Sizes of what System V IPC keeps in the kernel's memory.
const (
	queueMemory     = 1 << 20 // a full queue: kernel.msgmnb messages of no byte each, of 64 bytes in the kernel
	semaphoreMemory = 64      // struct sem of the kernel's
)

// IPCSysctls are the sysctls of a node's IPC namespace, sorted by name: those of the file, and bounds for what System V IPC may take where it says
// nothing, on a machine with so many bytes of memory, in pages of so many. Shared memory, queues and semaphores belong to no
// process, so that whoever ends for want of memory frees none of it: segments get as much as a tmpfs, see TmpfsSize, or as much as
// the node's processes; queues and semaphores a quarter of that. A privileged node has none of these bounds. sysvipc(7), proc_sys_kernel(5).
func IPCSysctls(n *topology.Node, memory, page int64) [][2]string {
	all := map[string]string{}
	if !n.Privileged {
		share := memory / 4
		if n.Limits.Memory > 0 {
			share = min(share, n.Limits.Memory)
		}
		all["kernel.shmall"] = strconv.FormatInt(max(share/page, 1), 10)
		all["kernel.msgmni"] = strconv.FormatInt(min(max(share/4/queueMemory, 16), 32000), 10)
		all["kernel.sem"] = fmt.Sprintf("32000 %d 500 32000", min(share/4/semaphoreMemory, 1024000000))
	}
	for k, v := range n.Sysctls {
		if OfIPC(k) {
			all[k] = v
		}
	}
	out := make([][2]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, [2]string{k, all[k]})
	}
	return out
}

// OfIPC tells a sysctl that belongs to an IPC namespace from one of a network namespace; a node has no others.
func OfIPC(key string) bool { return !strings.HasPrefix(SysctlPath(key), "net/") }
