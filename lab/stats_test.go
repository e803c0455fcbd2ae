package lab

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUsageSince(t *testing.T) {
	at := time.Unix(1000, 0)
	f := func(x float64) *float64 { return &x }
	before := Usage{Time: at, Nodes: []NodeUsage{
		{Lab: "l", Node: "a", CPUSeconds: 10, Throttled: f(1)},
		{Lab: "l", Node: "anew", CPUSeconds: 10},
		{Lab: "other", Node: "b", CPUSeconds: 100},
	}}
	now := Usage{Time: at.Add(2 * time.Second), Nodes: []NodeUsage{
		{Lab: "l", Node: "a", CPUSeconds: 10.5, Throttled: f(2.5)},
		{Lab: "l", Node: "anew", CPUSeconds: 1},
		{Lab: "l", Node: "b", CPUSeconds: 7, Throttled: f(1)},
	}}
	want := Usage{Time: now.Time, Interval: 2 * time.Second, Nodes: []NodeUsage{
		{Lab: "l", Node: "a", CPUSeconds: 10.5, CPUCores: 0.25, Throttled: f(2.5), ThrottledShare: f(0.75)},
		{Lab: "l", Node: "anew", CPUSeconds: 1},
		{Lab: "l", Node: "b", CPUSeconds: 7, Throttled: f(1)},
	}}
	if d := cmp.Diff(want, now.Since(before)); d != "" {
		t.Error(d)
	}
	if got := now.Since(now); got.Nodes[0].CPUCores != 0 || got.Nodes[0].ThrottledShare != nil {
		t.Errorf("in no time: %+v", got.Nodes[0])
	}
}

func TestParseDev(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:      84       1    0    0    0     0          0         0       84       1    0    0    0     0       0          0
  sit0:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
 tunl0:       5       1    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  eth0:    1714       9    1    2    0     0          0         0      696       8    3    4    0     0       0          0
 a:b:c:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
`
	want := []InterfaceUsage{
		{Name: "tunl0", RxBytes: 5, RxPackets: 1},
		{Name: "eth0", RxBytes: 1714, RxPackets: 9, RxDropped: 2, TxBytes: 696, TxPackets: 8, TxDropped: 4},
		{Name: "a:b:c"},
	}
	got, err := parseDev(text)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{"eth0: 1 2 3\n", "eth0: x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"} {
		if _, err := parseDev(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
