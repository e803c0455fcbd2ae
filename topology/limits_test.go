package topology

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseLimits(t *testing.T) {
	t.Parallel()
	got, err := ParseLimits(map[string][]string{
		"cpu": {"0.2"}, "cpu_weight": {"50"}, "cpuset": {"3,0-1,1"}, "memory": {"64MiB"}, "memory_swap": {"1G"}, "memory_reservation": {"32M"}, "pids": {"100"},
		"io": {"device=8:0,read_bps=1MiB,weight=300", "device=/dev/sdb,write_bps=2MiB,read_iops=5,write_iops=7"}, "hugetlb": {"2MiB=4M", "1024MiB=2GiB"},
	})
	want := Limits{CPU: 0.2, CPUWeight: 50, CPUSet: "0-1,3", Memory: 64 << 20, MemorySwap: 1 << 30, MemoryReservation: 32 << 20, Pids: 100,
		IO: []IOLimit{{Device: "8:0", ReadBPS: 1 << 20, Weight: 300}, {Device: "/dev/sdb", WriteBPS: 2 << 20, ReadIOPS: 5, WriteIOPS: 7}}, HugeTLB: map[string]int64{"2MiB": 4 << 20, "1GiB": 2 << 30}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err := ParseLimits(map[string][]string{"pids": {"max"}}); err != nil || got.Pids != AllPids {
		t.Errorf("pids max are %d, %v", got.Pids, err)
	}
	if got, err := ParseLimits(nil); err != nil || !got.None() {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	for _, bad := range [][2]string{
		{"cpu", "-1"}, {"cpu_weight", "10001"}, {"memory", "1KiB"}, {"memory", "4194303"}, {"pids", "many"}, {"pids", "7"}, {"pids", "4194305"}, {"memory_swap", "none"}, {"memory_reservation", "1"},
		{"cpuset", ""}, {"cpuset", "1-"}, {"cpuset", "3-1"}, {"cpuset", "8192"}, {"cpuset", "a"}, {"hugetlb", "2MiB"}, {"hugetlb", "3MiB=6MiB"}, {"hugetlb", "2MiB=1MiB"},
	} {
		if got, err := ParseLimits(map[string][]string{bad[0]: {bad[1]}}); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(bad[1], "=6MiB")) && !strings.Contains(err.Error(), bad[0]) {
			t.Errorf("%s %s: %+v, %v", bad[0], bad[1], got, err)
		}
	}
	for text, want := range map[string]string{
		"read_bps=1": "device is missing", "device=8:0": "a limit is missing", "device=sda,read_bps=1": "neither an absolute path nor MAJOR:MINOR",
		"device=8:,read_bps=1": "neither an absolute path nor MAJOR:MINOR", "device=8:x,read_bps=1": "neither an absolute path nor MAJOR:MINOR",
		"device=8:0,weight=1001": "weight", "device=8:0,reed_bps=1": "read_bps",
	} {
		if got, err := ParseLimits(map[string][]string{"io": {text}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("io %s: %+v, %v", text, got, err)
		}
	}
}

// Limits of the defaults and of a node meet each other, and what cannot hold together is said with its place.
func TestLimitsOfDefaultsAndNode(t *testing.T) {
	t.Parallel()
	l, err := Parse("lab.yaml", []byte(`name: x
defaults: {limits: {memory: 64MiB, memory_swap: 1GiB, hugetlb: {2MiB: 4MiB}, cpuset: "1", cpu: 0.5, cpu_weight: 50, pids: 20, io: [{device: "8:0", read_iops: 5}]}}
nodes:
  a: {limits: {memory: 128MiB, memory_reservation: 100MiB, cpuset: 0, cpu: 2, cpu_weight: 7, pids: 30, io: [{device: "8:1", write_bps: 1MiB}]}}
  b: {limits: {hugetlb: {}}}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := Limits{Memory: 128 << 20, MemorySwap: 1 << 30, MemoryReservation: 100 << 20, CPUSet: "0", HugeTLB: map[string]int64{"2MiB": 4 << 20},
		CPU: 2, CPUWeight: 7, Pids: 30, IO: []IOLimit{{Device: "8:1", WriteBPS: 1 << 20}}}
	b := Limits{Memory: 64 << 20, MemorySwap: 1 << 30, CPUSet: "1", CPU: 0.5, CPUWeight: 50, Pids: 20, IO: []IOLimit{{Device: "8:0", ReadIOPS: 5}}}
	if d := cmp.Diff([]Limits{a, b}, []Limits{l.Nodes[0].Limits, l.Nodes[1].Limits}); d != "" {
		t.Error(d)
	}
	for text, want := range map[string]string{
		"{memory_swap: 1GiB}":                      ":2:21: node a: memory_swap is memory and swap together, and needs a limit of memory",
		"{memory: 3MiB}":                           ":2:30: memory must be at least 4MiB, not 3MiB",
		"{memory: 4MiB, memory_swap: 1MiB}":        ":2:21: node a: memory_swap is memory and swap together, and 1MiB is less than the 4MiB of memory",
		"{memory: 4MiB, memory_reservation: 5MiB}": ":2:21: node a: memory_reservation, 5MiB, is more",
		"{cpuset: 2-x}":                            ":2:30: cpuset must be a list of processors",
		"{hugetlb: {2MB: 2MiB}}":                   "is not the size of a huge page",
		"{hugetlb: {2MiB: 2MiB, 2048KiB: 2MiB}}":   "pages of 2MiB are limited already",
		"{io: [{device: /dev/x, weight: 0}]}":      "weight must be a whole number from 1 to 1000",
		"{pids: 5}":                                "pids must be a whole number from 8",
	} {
		_, err := Parse("lab.yaml", []byte("name: x\nnodes: {a: {limits: "+text+"}}\n"), Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestCPUs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cpus := rapid.SliceOfNDistinct(rapid.IntRange(0, 20), 1, 10, rapid.ID).Draw(t, "cpus")
		slices.Sort(cpus)
		if got, err := ParseCPUs(formatCPUs(cpus)); err != nil || !slices.Equal(got, cpus) {
			t.Fatalf("%v is written %s and read as %v, %v", cpus, formatCPUs(cpus), got, err)
		}
	})
}
