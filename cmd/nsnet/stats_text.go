package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nsnet/nsnet/lab"
)

// statsTable is a row for each node, and one for each interface.
func statsTable(u lab.Usage) string {
	nodes, links := statsRows(u)
	text := table(nodes, nil)
	if len(links) > 1 {
		text += "\n" + table(links, nil)
	}
	return text
}

// statsRows is the rows of both tables, each with its header.
func statsRows(u lab.Usage) (nodes, links [][]string) {
	nodes = [][]string{{"LAB", "NODE", "CPU", "THROTTLED", "MEMORY", "PEAK", "LIMIT", "PIDS", "READ", "WRITTEN"}}
	links = [][]string{{"LAB", "NODE", "INTERFACE", "RX PACKETS", "RX BYTES", "TX PACKETS", "TX BYTES"}}
	for _, n := range u.Nodes {
		throttled := "-"
		if n.ThrottledShare != nil {
			throttled = fmt.Sprintf("%.0f %%", 100**n.ThrottledShare)
		}
		pids := strconv.FormatUint(n.Pids, 10)
		if n.PidsMax != nil {
			pids += fmt.Sprintf("/%d", *n.PidsMax)
		}
		nodes = append(nodes, []string{
			plain(n.Lab), plain(n.Node), fmt.Sprintf("%.2f", n.CPUCores), throttled,
			knownBytes(n.Memory), knownBytes(n.MemoryPeak), knownBytes(n.MemoryMax), pids, knownBytes(n.Read), knownBytes(n.Written),
		})
		for _, i := range n.Interfaces {
			links = append(links, []string{
				plain(n.Lab), plain(n.Node), plain(i.Name),
				strconv.FormatUint(i.RxPackets, 10), bytesText(int64(i.RxBytes)), strconv.FormatUint(i.TxPackets, 10), bytesText(int64(i.TxBytes)),
			})
		}
	}
	return nodes, links
}

func knownBytes(n *uint64) string {
	if n == nil {
		return "-"
	}
	return bytesText(int64(*n))
}

// metric is one family of Prometheus's text format.
type metric struct {
	name, kind, help string
	values           []string // labels and value, as they are written
}

// prometheusText is all that is counted, in Prometheus's text format, version 0.0.4.
func prometheusText(u lab.Usage) string {
	cpu := metric{name: "nsnet_node_cpu_seconds_total", kind: "counter", help: "Processor time used."}
	throttled := metric{name: "nsnet_node_cpu_throttled_seconds_total", kind: "counter", help: "Time held back by the limit of CPU."}
	memory := metric{name: "nsnet_node_memory_bytes", kind: "gauge", help: "Memory in use."}
	peak := metric{name: "nsnet_node_memory_peak_bytes", kind: "gauge", help: "Most memory in use so far."}
	memoryMax := metric{name: "nsnet_node_memory_limit_bytes", kind: "gauge", help: "Limit of memory."}
	pids := metric{name: "nsnet_node_pids", kind: "gauge", help: "Processes and threads."}
	pidsMax := metric{name: "nsnet_node_pids_limit", kind: "gauge", help: "Limit of processes and threads."}
	read := metric{name: "nsnet_node_io_read_bytes_total", kind: "counter", help: "Bytes read from block devices."}
	written := metric{name: "nsnet_node_io_written_bytes_total", kind: "counter", help: "Bytes written to block devices."}
	links := []metric{
		{name: "nsnet_interface_receive_bytes_total", kind: "counter", help: "Bytes that came in."},
		{name: "nsnet_interface_receive_packets_total", kind: "counter", help: "Packets that came in."},
		{name: "nsnet_interface_receive_dropped_total", kind: "counter", help: "Packets dropped on their way in."},
		{name: "nsnet_interface_transmit_bytes_total", kind: "counter", help: "Bytes that went out."},
		{name: "nsnet_interface_transmit_packets_total", kind: "counter", help: "Packets that went out."},
		{name: "nsnet_interface_transmit_dropped_total", kind: "counter", help: "Packets dropped on their way out."},
	}
	for _, n := range u.Nodes {
		labels := fmt.Sprintf(`lab="%s",node="%s"`, labelValue(n.Lab), labelValue(n.Node))
		cpu.add(labels, strconv.FormatFloat(n.CPUSeconds, 'f', -1, 64))
		if n.Throttled != nil {
			throttled.add(labels, strconv.FormatFloat(*n.Throttled, 'f', -1, 64))
		}
		memory.addKnown(labels, n.Memory)
		peak.addKnown(labels, n.MemoryPeak)
		memoryMax.addKnown(labels, n.MemoryMax)
		pids.addKnown(labels, &n.Pids)
		pidsMax.addKnown(labels, n.PidsMax)
		read.addKnown(labels, n.Read)
		written.addKnown(labels, n.Written)
		for _, i := range n.Interfaces {
			for at, v := range []uint64{i.RxBytes, i.RxPackets, i.RxDropped, i.TxBytes, i.TxPackets, i.TxDropped} {
				links[at].addKnown(fmt.Sprintf(`%s,interface="%s"`, labels, labelValue(i.Name)), &v)
			}
		}
	}
	var b strings.Builder
	for _, m := range append([]metric{cpu, throttled, memory, peak, memoryMax, pids, pidsMax, read, written}, links...) {
		if len(m.values) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for _, v := range m.values {
			b.WriteString(m.name + v + "\n")
		}
	}
	return b.String()
}

func (m *metric) add(labels, value string) {
	m.values = append(m.values, "{"+labels+"} "+value)
}

func (m *metric) addKnown(labels string, value *uint64) {
	if value != nil {
		m.add(labels, strconv.FormatUint(*value, 10))
	}
}

// labelValue escapes what would end a label's value, or a terminal might obey.
func labelValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(plain(s))
}
