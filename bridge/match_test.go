package bridge

import (
	"bytes"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// TestRanges holds the bounds against what the prefixes contain.
func TestRanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{4, 16}).Draw(t, "bytes")
		addr := func(name string) netip.Addr {
			b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 127, 128, 255}), n, n).Draw(t, name)
			a, _ := netip.AddrFromSlice(b)
			return a
		}
		var prefixes []netip.Prefix
		for range rapid.IntRange(0, 6).Draw(t, "prefixes") {
			prefixes = append(prefixes, netip.PrefixFrom(addr("prefix"), rapid.IntRange(0, n*8).Draw(t, "bits")))
		}
		bounds := ranges(prefixes)
		for i := 1; i < len(bounds); i++ {
			if bytes.Compare(bounds[i-1], bounds[i]) >= 0 {
				t.Fatalf("%v: bounds are not in order: %x", prefixes, bounds)
			}
		}
		for _, a := range append([]netip.Addr{addr("any")}, borders(prefixes)...) {
			want, in := false, false
			for _, p := range prefixes {
				want = want || p.Contains(a)
			}
			for i, b := range bounds {
				if bytes.Compare(b, a.AsSlice()) <= 0 {
					in = i%2 == 0
				}
			}
			if in != want {
				t.Fatalf("%v in %v: %v, bounds %x", a, prefixes, in, bounds)
			}
		}
	})
}

// borders are the addresses at the ends of prefixes, and beside them.
func borders(prefixes []netip.Prefix) (all []netip.Addr) {
	for _, p := range prefixes {
		for _, a := range []netip.Addr{p.Masked().Addr(), p.Masked().Addr().Prev(), last(p), last(p).Next()} {
			if a.IsValid() {
				all = append(all, a)
			}
		}
	}
	return all
}
