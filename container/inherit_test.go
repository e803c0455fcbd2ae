package container

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestLimitsAreWhole(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for _, l := range Limits(2000) {
		if seen[l.Resource] || l.Soft > l.Hard {
			t.Errorf("%+v: twice, or soft above hard", l)
		}
		seen[l.Resource] = true
		if l.Resource == unix.RLIMIT_NPROC && l.Soft != 1000 {
			t.Errorf("processes: %+v", l)
		}
	}
	if len(seen) != 16 { // RLIM_NLIMITS
		t.Errorf("%d of 16 limits", len(seen))
	}
}

func TestLimitWithin(t *testing.T) {
	t.Parallel()
	const none = unix.RLIM_INFINITY
	for _, c := range []struct{ l, want Limit }{
		{Limit{1, 10, 20}, Limit{1, 10, 15}},
		{Limit{1, 16, 20}, Limit{1, 15, 15}},
		{Limit{1, none, none}, Limit{1, 15, 15}},
		{Limit{1, 0, 0}, Limit{1, 0, 0}},
	} {
		if got := c.l.Within(15); got != c.want {
			t.Errorf("%+v within 15 is %+v", c.l, got)
		}
	}
}
