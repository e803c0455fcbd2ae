package attach

import (
	"slices"
	"testing"

	"github.com/nsnet/nsnet/internal/rtnl"
)

func TestFirstName(t *testing.T) {
	t.Parallel()
	ours := func(l rtnl.Link) bool { return l.Alias != "" }
	for want, links := range map[string][]rtnl.Link{
		"eth1": {{Name: "lo"}, {Name: "eth0"}, {Name: "eth2"}},
		"eth2": {{Name: "eth0"}, {Name: "eth1"}},
		"eth3": {{Name: "eth2"}, {Name: "eth1"}, {Name: "eth3", Alias: "nsnet:attach:0"}, {Name: "eth4"}},
		"eth4": {{Name: "eth3"}, {Name: "eth2"}, {Name: "eth1"}, {Name: "eth5", Alias: "nsnet:attach:0"}},
	} {
		if got := firstName(links, ours); got != want {
			t.Errorf("%v: %s, and not %s", links, got, want)
		}
	}
}

// Of names that Docker has counted beyond there is nothing to say, nor of those that it does not give.
func TestCountNotes(t *testing.T) {
	t.Parallel()
	docker, other := &target{counts: true, count: 2}, &target{}
	for _, tt := range []struct {
		target, peer    *target
		name, peerName  string
		any, anyPeer    bool
		want, wantOther bool
	}{
		{docker, nil, "eth2", "", true, false, true, false},
		{docker, nil, "eth3", "", true, false, true, false},
		{docker, nil, "eth1", "", true, false, false, false},
		{docker, nil, "eth2", "", false, false, false, false},
		{docker, nil, "net1", "", true, false, false, false},
		{other, docker, "eth2", "eth2", true, true, false, true},
		{docker, docker, "eth2", "eth2", true, true, true, true},
	} {
		a := &attachment{target: tt.target, peer: tt.peer, q: &Request{Interface: tt.name, Via: Via{Interface: tt.peerName}}, opt: Options{AnyName: tt.any, AnyPeerName: tt.anyPeer}}
		want := 0
		for _, w := range []bool{tt.want, tt.wantOther} {
			if w {
				want++
			}
		}
		if got := a.countNotes(); len(got) != want || slices.Contains(got, "") {
			t.Errorf("%s and %s: %q", tt.name, tt.peerName, got)
		}
	}
}
