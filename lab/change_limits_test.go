package lab

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/topology"
)

func TestShortened(t *testing.T) {
	t.Parallel()
	io := func(l ...topology.IOLimit) topology.Limits { return topology.Limits{IO: l} }
	pages := func(sizes ...string) topology.Limits {
		l := topology.Limits{HugeTLB: map[string]int64{}}
		for _, s := range sizes {
			l.HugeTLB[s] = 1
		}
		return l
	}
	a, b := topology.IOLimit{Device: "7:0", ReadBPS: 1, WriteIOPS: 2}, topology.IOLimit{Device: "7:1", Weight: 3}
	other, less := a, a
	other.ReadBPS, less.WriteIOPS = 9, 0
	for name, tt := range map[string]struct {
		was, now topology.Limits
		want     string
	}{
		"nothing":               {topology.Limits{}, topology.Limits{}, ""},
		"the same":              {io(a, b), io(b, a), ""},
		"more":                  {io(a), io(a, b), ""},
		"another rate":          {io(a), io(other), ""},
		"a rate less":           {io(a), io(less), "io"},
		"a device less":         {io(a, b), io(a), "io"},
		"another device":        {io(a), io(b), "io"},
		"none, which is lifted": {io(a), topology.Limits{Pids: 9}, ""},
		"pages of a size less":  {pages("2MiB", "1GiB"), pages("1GiB"), "hugetlb"},
		"pages, more":           {pages("1GiB"), pages("2MiB", "1GiB"), ""},
		"no pages, also lifted": {pages("1GiB"), topology.Limits{}, ""},
	} {
		if got := strings.Join(shortened(tt.was, tt.now), " "); got != tt.want {
			t.Errorf("%s: %q, and not %q", name, got, tt.want)
		}
	}
}
