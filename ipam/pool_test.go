package ipam

import (
	"errors"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestNext(t *testing.T) {
	for _, tc := range []struct {
		subnet  string
		reserve []string
		want    []string
		ends    bool
	}{
		{"10.0.0.0/29", []string{"10.0.0.1", "10.0.0.4"}, []string{"10.0.0.2/29", "10.0.0.3/29", "10.0.0.5/29", "10.0.0.6/29"}, true},
		{"10.0.0.77/24", nil, []string{"10.0.0.1/24", "10.0.0.2/24"}, false},
		{"10.0.0.0/30", nil, []string{"10.0.0.1/30", "10.0.0.2/30"}, true},
		{"10.0.0.0/31", nil, []string{"10.0.0.0/31", "10.0.0.1/31"}, true},
		{"10.0.0.5/32", nil, []string{"10.0.0.5/32"}, true},
		{"255.255.255.254/31", nil, []string{"255.255.255.254/31", "255.255.255.255/31"}, true},
		{"fd00::/64", []string{"fd00::1"}, []string{"fd00::2/64", "fd00::3/64"}, false},
		{"fd00::/126", nil, []string{"fd00::1/126", "fd00::2/126", "fd00::3/126"}, true},
		{"fd00::/127", nil, []string{"fd00::/127", "fd00::1/127"}, true},
		{"fd00::9/128", nil, []string{"fd00::9/128"}, true},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", nil, []string{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127"}, true},
	} {
		t.Run(tc.subnet, func(t *testing.T) {
			p, err := NewPool(netip.MustParsePrefix(tc.subnet))
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range tc.reserve {
				if err := p.Reserve(netip.MustParseAddr(r)); err != nil {
					t.Fatalf("reserve %s: %v", r, err)
				}
			}
			for _, want := range tc.want {
				got, err := p.Next()
				if err != nil || got.String() != want {
					t.Fatalf("got %v, %v, want %s", got, err, want)
				}
			}
			for range 2 {
				_, err = p.Next()
				var full *ExhaustedError
				if errors.As(err, &full) != tc.ends {
					t.Fatalf("at the end: %v", err)
				}
			}
		})
	}
}

func TestReserveRefuses(t *testing.T) {
	p, err := NewPool(netip.MustParsePrefix("10.0.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	given, err := p.Next()
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]error{
		"10.0.1.1":            ErrOutside,
		"fd00::1":             ErrOutside,
		"10.0.0.0":            ErrUnusable,
		"10.0.0.255":          ErrUnusable,
		given.Addr().String(): ErrTaken,
		"10.0.0.9":            nil,
		"::ffff:10.0.0.9":     ErrOutside,
	} {
		if err := p.Reserve(netip.MustParseAddr(addr)); !errors.Is(err, want) {
			t.Errorf("reserve %s: %v, want %v", addr, err, want)
		}
	}
}

func TestNewPoolRefuses(t *testing.T) {
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/120")} {
		if _, err := NewPool(p); err == nil {
			t.Errorf("%v was accepted", p)
		}
	}
}

// subnets draws prefixes of both families, small ones more often.
func subnets() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		n, least := 4, 16
		if rapid.Bool().Draw(t, "v6") {
			n, least = 16, 48
		}
		b := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address")
		if n == 16 {
			b[0] = 0xfd
		}
		a, _ := netip.AddrFromSlice(b)
		return netip.PrefixFrom(a, rapid.IntRange(least, 8*n).Draw(t, "bits"))
	})
}

func TestPoolProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subnet := subnets().Draw(t, "subnet")
		p, err := NewPool(subnet)
		if err != nil {
			t.Fatal(err)
		}
		again, err := NewPool(subnet)
		if err != nil {
			t.Fatal(err)
		}
		taken := map[netip.Addr]bool{}
		offset := rapid.SliceOfN(rapid.IntRange(0, 40), 0, 20).Draw(t, "reserved")
		for _, o := range offset {
			a := subnet.Masked().Addr()
			for range o {
				a = a.Next()
			}
			err, err2 := p.Reserve(a), again.Reserve(a)
			if (err == nil) != (err2 == nil) {
				t.Fatalf("reserve %s: %v, then %v", a, err, err2)
			}
			if err == nil && taken[a] {
				t.Fatalf("%s reserved twice", a)
			}
			if err == nil {
				taken[a] = true
			}
		}
		var last netip.Addr
		for range rapid.IntRange(0, 100).Draw(t, "count") {
			got, err := p.Next()
			got2, err2 := again.Next()
			if got != got2 || (err == nil) != (err2 == nil) {
				t.Fatalf("not deterministic: %v %v, %v %v", got, err, got2, err2)
			}
			if err != nil {
				// Every usable address must have been given before the pool says it is empty.
				if size := 1 << (subnet.Addr().BitLen() - subnet.Bits()); len(taken) < size-2 {
					t.Fatalf("exhausted after %d of %d", len(taken), size)
				}
				break
			}
			if taken[got.Addr()] || !subnet.Contains(got.Addr()) || !Usable(got) || got.Bits() != subnet.Bits() {
				t.Fatalf("bad address %s from %s", got, subnet)
			}
			if last.IsValid() && !last.Less(got.Addr()) {
				t.Fatalf("%s after %s", got, last)
			}
			last = got.Addr()
			taken[last] = true
		}
	})
}

func BenchmarkNext(b *testing.B) {
	p, err := NewPool(netip.MustParsePrefix("fd00::/64"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
