package wiring

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nsnet/nsnet/internal/announce"
)

// Announced is what a step may have moved, with all of its addresses; an interface that nobody has touched is not, and neither is one
// that has no address or is the fabric's.
func TestAnnouncements(t *testing.T) {
	end := func(p Place, name string, addr ...string) End {
		e := End{Place: p, Name: name, MAC: "02:00:00:00:00:01"}
		for _, a := range addr {
			e.Addresses = append(e.Addresses, netip.MustParsePrefix(a))
		}
		return e
	}
	port := func(name string) End { return End{Place: Fabric, Name: name, Master: "lan"} }
	w := &Want{Cables: []Cable{
		{Leg: true, A: port("_host"), B: end(Host, "leg", "10.0.0.1/24")},
		{A: end("a", "eth0", "10.0.0.2/24", "fd00::2/64"), B: port("a.eth0")},
		{A: end("b", "eth0", "10.0.0.3/24"), B: port("b.eth0")},
		{A: end("a", "p", "10.1.0.1/32"), B: end("b", "p", "10.1.0.2/32")},
		{A: end("c", "eth0"), B: port("c.eth0")},
		{A: end("d", "eth0", "10.2.0.2/24"), B: End{Place: Host, Name: "ns1", Master: "docker0"}},
	}}
	in := func(name string, addrs ...string) announce.Interface {
		i := announce.Interface{Name: name, MAC: "02:00:00:00:00:01"}
		for _, a := range addrs {
			i.Addrs = append(i.Addrs, netip.MustParseAddr(a))
		}
		return i
	}
	master := 3
	type places = map[string][]announce.Interface
	for name, tc := range map[string]struct {
		steps []Step
		want  places
	}{
		"nothing":              {nil, places{}},
		"an address":           {[]Step{{Verb: AddAddress, Place: "a", Link: "eth0"}}, places{"a": {in("eth0", "10.0.0.2", "fd00::2")}}},
		"an address less":      {[]Step{{Verb: DelAddress, Place: "a", Link: "eth0"}}, places{}},
		"a MAC":                {[]Step{{Verb: SetLink, Place: "b", Link: "eth0", Set: Set{MAC: "02:00:00:00:00:01"}}}, places{"b": {in("eth0", "10.0.0.3")}}},
		"an MTU":               {[]Step{{Verb: SetLink, Place: "b", Link: "eth0", Set: Set{MTU: 1400}}}, places{}},
		"a port of another":    {[]Step{{Verb: SetLink, Place: Fabric, Link: "b.eth0", Set: Set{Master: &master}}}, places{"b": {in("eth0", "10.0.0.3")}}},
		"a cable":              {[]Step{{Verb: AddCable, Place: Fabric, Cable: &w.Cables[3]}}, places{"a": {in("p", "10.1.0.1")}, "b": {in("p", "10.1.0.2")}}},
		"the leg":              {[]Step{{Verb: AddAddress, Place: Host, Link: "leg"}}, places{"@host": {in("leg", "10.0.0.1")}}},
		"without an address":   {[]Step{{Verb: AddCable, Place: Fabric, Cable: &w.Cables[4]}}, places{}},
		"two of one node's":    {[]Step{{Verb: UpLink, Place: "a", Link: "eth0"}, {Verb: UpLink, Place: "a", Link: "p"}}, places{"a": {in("eth0", "10.0.0.2", "fd00::2"), in("p", "10.1.0.1")}}},
		"only a bridge's":      {[]Step{{Verb: UpBridge, Place: Fabric, Link: "lan"}}, places{}},
		"a route":              {[]Step{{Verb: AddRoute, Place: "a"}}, places{}},
		"a port on the host's": {[]Step{{Verb: AddCable, Place: Fabric, Cable: &w.Cables[5]}}, places{"d": {in("eth0", "10.2.0.2")}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Announcements(w, tc.steps), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	if diff := cmp.Diff(places{"d": {in("eth0", "10.2.0.2")}}, Strangers(w), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}
