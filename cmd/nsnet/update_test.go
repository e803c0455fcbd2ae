package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

func TestUpdateText(t *testing.T) {
	equal(t, "some", updateText(lab.UpdateResult{Name: "demo", Node: "web", Limits: topology.Limits{CPU: 0.5, Memory: 128 << 20}}), "demo/web is limited to cpu 0.5, memory 128 MiB\n")
	equal(t, "none", updateText(lab.UpdateResult{Name: "demo", Node: "w\x1b"}), `demo/w\x1b has no limits`+"\n")
}

func TestLimitsText(t *testing.T) {
	l := topology.Limits{CPUSet: "0-1", Memory: 16 << 20, MemorySwap: 32 << 20, MemoryReservation: 8 << 20, IO: []topology.IOLimit{{Device: "8:0", ReadBPS: 1 << 20, Weight: 5}},
		HugeTLB: map[string]int64{"2MiB": 4 << 20, "1GiB": 1 << 30}}
	equal(t, "all", limitsText(l), "cpuset 0-1, memory 16 MiB, memory and swap 32 MiB, memory reservation 8 MiB, 8:0 read 1 MiB/s weight 5, 1 GiB in pages of 1GiB, 4 MiB in pages of 2MiB")
}

func TestUpdateFlags(t *testing.T) {
	o := updateOptions{CPU: "1.5", CPUWeight: "none", CPUSet: "0", Memory: "64MiB", MemorySwap: "1G", Pids: "none",
		IO: []string{"none", "device=8:0,weight=5"}, HugeTLB: []string{"none"}}
	set, lift, err := o.limits()
	want := topology.Limits{CPU: 1.5, CPUSet: "0", Memory: 64 << 20, MemorySwap: 1 << 30, IO: []topology.IOLimit{{Device: "8:0", Weight: 5}}}
	if err != nil || !reflect.DeepEqual(set, want) || strings.Join(lift, " ") != "cpu_weight hugetlb io pids" {
		t.Errorf("%+v, %v, %v", set, lift, err)
	}
	for line, want := range map[string]string{
		"update":                  "NODE is missing; see nsnet update --help",
		"update a":                "no limit is given: --cpu, --memory, --pids or another; see nsnet update --help",
		"update a --cpu -1":       "cpu must be a number from 0.001 to 8192, not -1; see nsnet update --help",
		"update a --memory 1":     "memory must be at least 4MiB, not 1",
		"update a --pids 0":       "pids must be",
		"update a --cpu-weight x": "cpu_weight must be a whole number",
		"update a --io 8:0":       "in an item of io",
		"update a --hugetlb 2MiB": "hugetlb 2MiB must be a size",
	} {
		r := nsnet(t, strings.Fields(line)...)
		if r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: %+v", line, r)
		}
	}
}
