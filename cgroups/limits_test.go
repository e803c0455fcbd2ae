package cgroups

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/topology"
)

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		cores  float64
		quota  int64
		period uint64
	}{
		{0.2, 20_000, 100_000},
		{1, 100_000, 100_000},
		{2.5, 250_000, 100_000},
		{0.29, 29_000, 100_000}, // 0.29*100000 is 28999.999... in binary
		{0.01, 1_000, 100_000},
		{0.005, 5_000, 1_000_000},
		{0.0001, 1_000, 1_000_000},
	} {
		q, p := quota(c.cores)
		if q != c.quota || p != c.period {
			t.Errorf("%v cores: %d/%d, want %d/%d", c.cores, q, p, c.quota, c.period)
		}
	}
}

func TestQuotaIsAcceptable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cores := rapid.Float64Range(1e-6, 4096).Draw(t, "cores")
		q, p := quota(cores)
		if q < quotaMin || p > periodMax || p < 1000 {
			t.Fatalf("the kernel refuses %d/%d", q, p)
		}
		if got := float64(q) / float64(p); cores >= 0.001 && math.Abs(got-cores)/cores > 0.01 {
			t.Fatalf("%v cores became %v", cores, got)
		}
	})
}

func TestShares(t *testing.T) {
	for weight, want := range map[uint64]uint64{1: 10, 100: 1024, 50: 512, 200: 2048, 10000: 102400} {
		if got := shares(weight); got != want {
			t.Errorf("weight %d: %d shares, want %d", weight, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Uint64Range(1, 9999).Draw(t, "weight")
		if s := shares(a); s < 2 || s > 262144 || shares(a+1) <= s {
			t.Fatalf("weight %d: %d shares, the next has %d", a, s, shares(a+1))
		}
	})
}

func TestDevice(t *testing.T) {
	if major, minor, err := device("259:17"); err != nil || major != 259 || minor != 17 {
		t.Errorf("259:17: %d:%d, %v", major, minor, err)
	}
	for _, name := range []string{"", "8:", ":0", "8:x", "-1:0", "4096:0", "/dev/null", "/no/such", "sda"} {
		_, _, err := device(name)
		var u *Unsupported
		if !errors.As(err, &u) || u.Limit != "io" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCheckSaysWhatIsMissing(t *testing.T) {
	none := &Host{Version: None}
	v2bare := &Host{Version: V2, hierarchies: []hierarchy{{root: "/", unified: true}}}
	readOnly := &Host{Version: V1, hierarchies: []hierarchy{{root: "/", readOnly: true, controllers: []string{"memory"}}}}
	for _, h := range []*Host{none, v2bare, readOnly} {
		if err := h.Check(topology.Limits{}); err != nil {
			t.Errorf("%s: no limits: %v", h.Version, err)
		}
		for _, l := range []topology.Limits{
			{CPU: 1}, {CPUWeight: 1}, {Memory: 1}, {Pids: 1}, {IO: []topology.IOLimit{{Device: "8:0"}}},
			{CPUSet: "0"}, {MemorySwap: 1}, {MemoryReservation: 1}, {HugeTLB: map[string]int64{"2MiB": 1}},
		} {
			err := h.Check(l)
			var u *Unsupported
			if !errors.As(err, &u) || u.Controller == "" || u.Limit == "" || u.Reason == "" || u.Remedy == "" {
				t.Errorf("%s: %+v: %#v", h.Version, l, err)
			}
			if g, err := h.Create("lab", "node", l); err == nil {
				t.Errorf("%s: %+v: created %v", h.Version, l, g.dirs)
			}
		}
	}
}

// What the kernel or the mounts lack is named: the limit, and the controller, the file system or the option that it needs.
func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	limits := map[string]topology.Limits{
		"cpu": {CPU: 1}, "cpu_weight": {CPUWeight: 1}, "cpuset": {CPUSet: "0"}, "memory": {Memory: 1}, "memory_swap": {MemorySwap: 1},
		"memory_reservation": {MemoryReservation: 1}, "pids": {Pids: 1}, "io": {IO: []topology.IOLimit{{Device: "8:0", ReadBPS: 1}}},
		"hugetlb": {HugeTLB: map[string]int64{"2MiB": 1 << 21}},
	}
	root := t.TempDir()
	bare := &Host{Version: V1, hierarchies: []hierarchy{{root: root, controllers: v1Controllers}}}
	readOnly := &Host{Version: V1, hierarchies: []hierarchy{{root: root, controllers: v1Controllers, readOnly: true}}}
	other := &Host{Version: V2, hierarchies: []hierarchy{{root: root, unified: true, controllers: []string{"misc"}}}}
	for key, l := range limits {
		for h, want := range map[*Host]string{
			{Version: None}: "no cgroup hierarchy is mounted; mount one",
			readOnly:        root + " is mounted read-only; remount it",
			other:           "no mounted cgroup hierarchy has the " + needs(l)[0].controller + " controller; see /proc/cgroups",
		} {
			if err := h.Check(l); err == nil || !strings.Contains(err.Error(), "limit "+key+" cannot be enforced: "+want) {
				t.Errorf("%s on %s: %v", key, h.Version, err)
			}
		}
		if f, ok := v1Files[key]; ok {
			if err := bare.Check(l); err == nil || !strings.Contains(err.Error(), "limit "+key+" cannot be enforced: the kernel was built without "+f.option) {
				t.Errorf("%s on a kernel without: %v", key, err)
			}
		}
	}
}
