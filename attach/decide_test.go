package attach

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/internal/rtnl"
)

func someone() identity { return identity{"0123456789", 1 << 24, 1<<24 + 1} }

func onBridge() *observed {
	return &observed{
		target: space{links: []rtnl.Link{{Index: 1, Name: "lo"}, {Index: 2, Name: "eth0"}},
			routes: []rtnl.TableRoute{
				{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.1"), Index: 2, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST, Raw: []byte("four")},
				{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.3"), Index: 2, Metric: 50, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST, Raw: []byte("backup")},
				{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("2001:db8::1"), Index: 2, Metric: 1024, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST, Raw: []byte("six")},
				{To: netip.MustParsePrefix("0.0.0.0/0"), Index: 2, Table: 100, Type: unix.RTN_UNICAST, Raw: []byte("another table")},
			}},
		link:    rtnl.Link{Index: 7, Name: "br0", Kind: "bridge", MTU: 9000},
		gateway: prefixes("10.0.0.1/24", "fd00::1/64"),
	}
}

func TestDecideDefaults(t *testing.T) {
	t.Parallel()
	q := &Request{Interface: "eth1", Via: Via{Kind: ViaBridge, Name: "br0"}, Addresses: prefixes("10.0.0.9/24")}
	r, err := decide(q, onBridge(), someone())
	if err != nil {
		t.Fatal(err)
	}
	if r.MTU != 9000 || r.MAC != "02:01:23:45:67:89" || r.HostMAC != "fe:01:23:45:67:89" || r.Port != "ns0123456789" || r.Index != 1<<24 {
		t.Errorf("%+v", r)
	}
	if len(r.Routes) > 0 || len(r.Former) > 0 {
		t.Errorf("nobody has asked for routes: %+v, %q", r.Routes, r.Former)
	}
}

func TestDecideDefaultRoute(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		metric        int
		ips, gateways []string
		former        []string
		routes        string
	}{
		"both families":       {0, []string{"10.0.0.9/24", "fd00::9/64"}, nil, []string{"four", "six"}, "[{0.0.0.0/0 10.0.0.1 0} {::/0 fd00::1 0}]"},
		"IPv4 alone":          {0, []string{"10.0.0.9/24"}, nil, []string{"four"}, "[{0.0.0.0/0 10.0.0.1 0}]"},
		"beside the other":    {100, []string{"10.0.0.9/24"}, nil, nil, "[{0.0.0.0/0 10.0.0.1 100}]"},
		"another next hop":    {0, []string{"10.0.0.9/24"}, []string{"10.0.0.254"}, []string{"four"}, "[{0.0.0.0/0 10.0.0.254 0}]"},
		"IPv6 with no bridge": {0, []string{"10.0.0.9/24", "fd77::9/64"}, nil, []string{"four"}, "[{0.0.0.0/0 10.0.0.1 0}]"},
	} {
		q := &Request{Interface: "eth1", Via: Via{Kind: ViaBridge, Name: "br0"}, Addresses: prefixes(tc.ips...), DefaultRoute: true, Metric: tc.metric, Gateways: addrs(tc.gateways...)}
		r, err := decide(q, onBridge(), someone())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var former []string
		for _, raw := range r.Former {
			former = append(former, string(raw))
		}
		if got := fmt.Sprint(r.Routes); got != tc.routes || !slices.Equal(former, tc.former) {
			t.Errorf("%s: routes %s, in place of %q", name, got, former)
		}
	}
}

// Each end of a cable reaches every address of the other, by a subnet or by a route.
func TestCableRoutes(t *testing.T) {
	t.Parallel()
	address := rapid.Custom(func(t *rapid.T) netip.Prefix {
		bits := rapid.SampledFrom([]int{24, 31, 32}).Draw(t, "bits")
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(rapid.IntRange(0, 2).Draw(t, "net")), byte(rapid.IntRange(1, 254).Draw(t, "host"))}), bits)
	})
	rapid.Check(t, func(t *rapid.T) {
		mine := rapid.SliceOfN(address, 1, 4).Draw(t, "mine")
		theirs := rapid.SliceOfN(address, 1, 4).Draw(t, "theirs")
		routes := toward(mine, theirs)
		for _, p := range theirs {
			bySubnet := slices.ContainsFunc(mine, func(m netip.Prefix) bool { return m.Bits() < 32 && m.Contains(p.Addr()) })
			byRoute := slices.ContainsFunc(routes, func(r FinalRoute) bool { return r.To == netip.PrefixFrom(p.Addr(), 32) })
			if bySubnet == byRoute {
				t.Fatalf("%s of %v: by a subnet of %v: %v, by a route of %v: %v", p, theirs, mine, bySubnet, routes, byRoute)
			}
		}
	})
}

// An automatic address is in the pool and nobody else's, whatever is taken.
func TestAutoAddress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := &observed{pools: prefixes("10.0.0.0/28", "fd00::/124"), gateway: prefixes("10.0.0.1/28", "fd00::1/124")}
		taken := map[netip.Addr]bool{}
		for _, g := range o.gateway {
			taken[g.Addr()] = true
		}
		for _, n := range rapid.SliceOfN(rapid.IntRange(1, 14), 0, 20).Draw(t, "taken") {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})
			taken[a] = true
			if n%2 == 0 {
				o.taken = append(o.taken, a)
			} else {
				o.users = append(o.users, user{a, "somebody"})
			}
		}
		q := &Request{Interface: "eth1", Via: Via{Kind: ViaBridge, Lab: "l", Name: "lan0"}, Auto: true}
		r, err := decide(q, o, someone())
		free := 0
		for n := 1; n <= 14; n++ {
			if !taken[netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})] {
				free++
			}
		}
		if free == 0 {
			if err == nil {
				t.Fatalf("got %v of a full pool", r.Addresses)
			}
			return
		}
		if err != nil || len(r.Addresses) != 2 || r.Addresses[0].Bits() != 28 || taken[r.Addresses[0].Addr()] || taken[r.Addresses[1].Addr()] {
			t.Fatalf("got %v, %v", r, err)
		}
	})
}

// A request that was attached does not differ from itself, and does from any other.
func TestDifference(t *testing.T) {
	t.Parallel()
	base := func() *Request {
		return &Request{Target: Ref{ByPID, "1"}, Interface: "eth1", Via: Via{Kind: ViaBridge, Name: "br0"},
			Addresses: prefixes("10.0.0.9/24", "fd00::9/64"), DefaultRoute: true, Routes: []Route{{To: netip.MustParsePrefix("10.5.0.0/16")}}}
	}
	r, err := decide(base(), onBridge(), someone())
	if err != nil {
		t.Fatal(err)
	}
	// As it comes back from the disk.
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	r = &Record{}
	if err := json.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Request){
		"the same":            func(*Request) {},
		"in another order":    func(q *Request) { slices.Reverse(q.Addresses) },
		"with the MAC it has": func(q *Request) { q.MAC = "02:01:23:45:67:89" },
		"with the MTU it has": func(q *Request) { q.MTU = 9000 },
	} {
		q := base()
		change(q)
		if d := r.difference(q); len(d) > 0 {
			t.Errorf("%s: %q", name, d)
		}
	}
	for want, change := range map[string]func(*Request){
		"it has the addresses 10.0.0.9/24, fd00::9/64, not 10.0.0.9/24": func(q *Request) { q.Addresses = q.Addresses[:1] },
		"not auto": func(q *Request) { q.Addresses, q.Auto = nil, true },
		"it leads to bridge br0, not bridge l/br0":                   func(q *Request) { q.Via.Lab = "l" },
		"it has the MAC 02:01:23:45:67:89, not 02:00:00:00:00:01":    func(q *Request) { q.MAC = "02:00:00:00:00:01" },
		"it has the MTU 9000, not 1500":                              func(q *Request) { q.MTU = 1500 },
		"it is in VLAN 0, not 5":                                     func(q *Request) { q.VLAN = 5 },
		"it has a default route with metric 0, not no default route": func(q *Request) { q.DefaultRoute = false },
		"not a default route with metric 7":                          func(q *Request) { q.Metric = 7 },
		"and gateway 10.0.0.1":                                       func(q *Request) { q.Gateways = addrs("10.0.0.1") },
		"it has the routes 10.5.0.0/16, not none":                    func(q *Request) { q.Routes = nil },
		"it has the nameservers none, not 192.0.2.53":                func(q *Request) { q.DNS = addrs("192.0.2.53") },
	} {
		q := base()
		change(q)
		if d := strings.Join(r.difference(q), "; "); !strings.Contains(d, want) {
			t.Errorf("%q lacks %q", d, want)
		}
	}
}

// The other end of a cable never has the same hardware address.
func TestFlip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[0-9a-f]{10}`).Draw(t, "id")
		if other := flip(id); other == id || flip(other) != id || !validID(other) {
			t.Fatalf("%s and %s", id, other)
		}
		for _, first := range []string{"02:", "fe:"} {
			if m, err := net.ParseMAC(first + colons(id)); err != nil || m[0]&1 != 0 {
				t.Fatalf("%s: %v", m, err)
			}
		}
	})
}

func TestWithNameservers(t *testing.T) {
	t.Parallel()
	got := string(withNameservers([]byte("# x\n nameserver 1.1.1.1\nsearch a\nnameserver ::1\noptions ndots:1"), addrs("192.0.2.53")))
	if got != "nameserver 192.0.2.53\n# x\nsearch a\noptions ndots:1\n" {
		t.Errorf("%q", got)
	}
}

func TestCNI(t *testing.T) {
	t.Parallel()
	q := &Request{Interface: "eth1", Via: Via{Kind: ViaBridge, Name: "br0"}, Addresses: prefixes("10.0.0.9/24", "fd00::9/64"), DefaultRoute: true,
		Routes: []Route{{To: netip.MustParsePrefix("10.5.0.0/16")}}, DNS: addrs("192.0.2.53")}
	r, err := decide(q, onBridge(), someone())
	if err != nil {
		t.Fatal(err)
	}
	r.Target = Place{PID: 9166}
	b, err := json.Marshal(r.CNI())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cniVersion":"1.1.0","interfaces":[` +
		`{"name":"ns0123456789","mac":"fe:01:23:45:67:89","mtu":9000},` +
		`{"name":"eth1","mac":"02:01:23:45:67:89","mtu":9000,"sandbox":"/proc/9166/ns/net"}],` +
		`"ips":[{"interface":1,"address":"10.0.0.9/24","gateway":"10.0.0.1"},{"interface":1,"address":"fd00::9/64","gateway":"fd00::1"}],` +
		`"routes":[{"dst":"10.5.0.0/16","gw":"10.0.0.1"},{"dst":"0.0.0.0/0","gw":"10.0.0.1"},{"dst":"::/0","gw":"fd00::1"}],"dns":{"nameservers":["192.0.2.53"]}}`
	var got, wanted any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(got)
	y, _ := json.Marshal(wanted)
	if string(x) != string(y) {
		t.Errorf("got %s\nwant %s", x, y)
	}
}
