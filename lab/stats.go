package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/cgroups"
)

// Usage is what the nodes of some labs have used up to a time, and with Since over the time
// before it.
type Usage struct {
	Time     time.Time     `json:"time"`
	Interval time.Duration `json:"interval_ns"` // 0: of one look alone
	Nodes    []NodeUsage   `json:"nodes"`
	// NotAnswering says of labs, by name, why nothing is known of their nodes.
	NotAnswering map[string]string `json:"not_answering,omitempty"`
}

// NodeUsage is what one node has used. What is left out is not counted on this host, or for
// this node; a limit that is left out is none.
type NodeUsage struct {
	Lab            string           `json:"lab"`
	Node           string           `json:"node"`
	CPUSeconds     float64          `json:"cpu_seconds"`
	CPUCores       float64          `json:"cpu_cores"` // over the interval
	Throttled      *float64         `json:"throttled_seconds,omitempty"`
	ThrottledShare *float64         `json:"throttled_share,omitempty"` // of the interval
	Memory         *uint64          `json:"memory_bytes,omitempty"`
	MemoryOf       string           `json:"memory_of,omitempty"` // "group" or "processes"
	MemoryPeak     *uint64          `json:"memory_peak_bytes,omitempty"`
	MemoryMax      *uint64          `json:"memory_limit_bytes,omitempty"`
	Pids           uint64           `json:"pids"`
	PidsMax        *uint64          `json:"pids_limit,omitempty"`
	Read           *uint64          `json:"io_read_bytes,omitempty"`
	Written        *uint64          `json:"io_written_bytes,omitempty"`
	Interfaces     []InterfaceUsage `json:"interfaces"`
}

// InterfaceUsage is what has gone through an interface of a node, as the node sees it.
type InterfaceUsage struct {
	Name      string `json:"name"`
	RxBytes   uint64 `json:"rx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxDropped uint64 `json:"rx_dropped"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxDropped uint64 `json:"tx_dropped"`
}

// ReadUsage looks at the nodes of the named labs once. Dead nodes are left out.
func ReadUsage(ctx context.Context, names ...string) (Usage, error) {
	u := Usage{Time: time.Now(), Nodes: []NodeUsage{}}
	if err := needRoot(); err != nil {
		return u, err
	}
	host, err := cgroups.Probe()
	if err != nil {
		return u, &Error{Op: "look at the control groups", Err: err}
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return u, context.Cause(ctx)
		}
		asked, done := whileAnswering(ctx, name)
		err := whileRunning(asked, name, "", func(r *running) error { return u.add(r, host) })
		done()
		if errors.Is(err, ErrNotAnswering) {
			if u.NotAnswering == nil {
				u.NotAnswering = map[string]string{}
			}
			u.NotAnswering[name] = err.Error()
			continue
		}
		if err != nil {
			return u, err
		}
	}
	return u, nil
}

// add looks at the nodes of one lab.
func (u *Usage) add(r *running, host *cgroups.Host) error {
	nodes := make([]cgroups.Node, len(r.nodes))
	for i, n := range r.nodes {
		nodes[i] = r.group(n)
	}
	all, err := host.Usage(r.name, nodes...)
	if err != nil {
		return &Error{Lab: r.name, Op: "read what its nodes use", Err: err}
	}
	for i, c := range all {
		n := NodeUsage{
			Lab: r.name, Node: nodes[i].Name, CPUSeconds: c.CPU.Seconds(),
			Memory: c.Memory, MemoryOf: string(c.MemoryOf), MemoryPeak: c.MemoryPeak, MemoryMax: c.MemoryLimit,
			Pids: c.Pids, PidsMax: c.PidsLimit, Read: c.Read, Written: c.Written,
		}
		if c.Throttled != nil {
			s := c.Throttled.Seconds()
			n.Throttled = &s
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", nodes[i].PID))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
			continue // it has just ended
		}
		if err == nil {
			n.Interfaces, err = parseDev(string(b))
		}
		if err != nil {
			return &Error{Lab: r.name, Node: n.Node, Op: "read its interfaces' counters", Err: err}
		}
		u.Nodes = append(u.Nodes, n)
	}
	return nil
}

// Since is u with what was used since an earlier look. A node that was not there then, or whose
// counters have begun anew, has used nothing that is known of.
func (u Usage) Since(before Usage) Usage {
	type key struct{ lab, node string }
	was := map[key]NodeUsage{}
	for _, n := range before.Nodes {
		was[key{n.Lab, n.Node}] = n
	}
	out := Usage{NotAnswering: u.NotAnswering, Time: u.Time, Interval: u.Time.Sub(before.Time), Nodes: make([]NodeUsage, len(u.Nodes))}
	for i, n := range u.Nodes {
		out.Nodes[i] = n
		b, there := was[key{n.Lab, n.Node}]
		if !there || out.Interval <= 0 {
			continue
		}
		out.Nodes[i].CPUCores = max(0, n.CPUSeconds-b.CPUSeconds) / out.Interval.Seconds()
		if n.Throttled != nil && b.Throttled != nil {
			share := max(0, *n.Throttled-*b.Throttled) / out.Interval.Seconds()
			out.Nodes[i].ThrottledShare = &share
		}
	}
	return out
}

// parseDev reads /proc/net/dev, see proc_pid_net(5). lo is of no interest, and neither are the
// kernel's fallback tunnels, which nobody has sent anything through.
func parseDev(text string) ([]InterfaceUsage, error) {
	all := []InterfaceUsage{}
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(line, ':') // an alias has one, too
		if at < 0 {
			continue
		}
		name, f := strings.TrimSpace(line[:at]), strings.Fields(line[at+1:])
		if len(f) < 16 {
			return nil, fmt.Errorf("%q is not as proc_pid_net(5) says", line)
		}
		var n [16]uint64
		for i := range n {
			var err error
			if n[i], err = strconv.ParseUint(f[i], 10, 64); err != nil {
				return nil, err
			}
		}
		d := InterfaceUsage{Name: name, RxBytes: n[0], RxPackets: n[1], RxDropped: n[3], TxBytes: n[8], TxPackets: n[9], TxDropped: n[11]}
		fallback := isFallback(name) && d == (InterfaceUsage{Name: name})
		if name != "lo" && !fallback {
			all = append(all, d)
		}
	}
	return all, nil
}

// isFallback tells the interfaces that a kernel with tunnels built in makes in each network namespace.
func isFallback(name string) bool {
	switch name {
	case "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0":
		return true
	}
	return false
}
