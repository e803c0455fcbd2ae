package main

import (
	"testing"
	"time"

	"github.com/nsnet/nsnet/lab"
)

func demoUsage() lab.Usage {
	share, seconds := 0.5, 12.25
	u := func(n uint64) *uint64 { return &n }
	return lab.Usage{Interval: time.Second, Nodes: []lab.NodeUsage{
		{
			Lab: "demo", Node: "web", CPUSeconds: 1234.5, CPUCores: 0.2, Throttled: &seconds, ThrottledShare: &share,
			Memory: u(10 << 20), MemoryOf: "group", MemoryPeak: u(11 << 20), MemoryMax: u(64 << 20), Pids: 3, PidsMax: u(64),
			Read: u(4096), Written: u(0),
			Interfaces: []lab.InterfaceUsage{
				{Name: "eth0", RxBytes: 1 << 20, RxPackets: 1000, RxDropped: 1, TxBytes: 2048, TxPackets: 20, TxDropped: 2},
				{Name: `e"1\`, RxBytes: 1},
			},
		},
		{Lab: "demo", Node: "a\x1b[2J", CPUSeconds: 0.01, Memory: u(512 << 10), MemoryOf: "processes", Pids: 1},
	}}
}

func TestStatsTable(t *testing.T) {
	golden(t, "stats.txt", statsTable(demoUsage()))
	golden(t, "stats.prom", prometheusText(demoUsage()))
	equal(t, "without nodes", statsTable(lab.Usage{}), "LAB  NODE  CPU  THROTTLED  MEMORY  PEAK  LIMIT  PIDS  READ  WRITTEN\n")
	equal(t, "without nodes", prometheusText(lab.Usage{}), "")
}

func TestLabelValue(t *testing.T) {
	equal(t, "escaped", labelValue("a\"b\\c\nd"), `a\"b\\c\\nd`)
}
