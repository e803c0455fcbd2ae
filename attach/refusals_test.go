package attach

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

// What is somebody else's is not touched, and what cannot be is said before anything changes.
func TestRefusals(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		s.a.run("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8")
		if _, err := Attach(t.Context(), &Request{Target: s.b.ref, Interface: "eth1", Via: Via{Kind: ViaBridge, Name: "br0"}, Addresses: prefixes("10.0.0.5/24")}, Options{}); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = Detach(context.WithoutCancel(t.Context()), s.b.ref, "", true) }()
		before := s.all()
		bridge := Via{Kind: ViaBridge, Name: "br0"}
		for name, tc := range map[string]struct {
			q    Request
			kind error
			text string
		}{
			"name taken":                {Request{Interface: "eth7", Via: bridge}, lab.ErrConflict, "eth7"},
			"address in use":            {Request{Via: bridge, Addresses: prefixes("10.0.0.5/24")}, lab.ErrConflict, "10.0.0.5 is in use on bridge br0"},
			"the bridge's own address":  {Request{Via: bridge, Addresses: prefixes("10.0.0.1/24")}, lab.ErrConflict, "the bridge itself"},
			"its own address":           {Request{Via: bridge, Addresses: prefixes("192.0.2.2/24")}, lab.ErrConflict, "on eth0"},
			"no such bridge":            {Request{Via: Via{Kind: ViaBridge, Name: "br9"}}, lab.ErrNotFound, "no bridge br9"},
			"not a bridge":              {Request{Via: Via{Kind: ViaBridge, Name: "p0"}}, lab.ErrNotFound, "no bridge"},
			"no such lab":               {Request{Via: Via{Kind: ViaBridge, Lab: "nolab", Name: "lan0"}}, lab.ErrNotFound, "nolab"},
			"no such parent":            {Request{Via: Via{Kind: ViaMACVLAN, Name: "p9", Mode: "bridge"}}, lab.ErrNotFound, "p9"},
			"no such card":              {Request{Via: Via{Kind: ViaNIC, Name: "nic9"}}, lab.ErrNotFound, "nic9"},
			"lo is no card":             {Request{Via: Via{Kind: ViaNIC, Name: "lo"}}, nil, "cannot be lent"},
			"gateway elsewhere":         {Request{Via: bridge, Addresses: prefixes("10.0.0.9/24"), DefaultRoute: true, Gateways: addrs("10.8.0.1")}, nil, "--gateway 10.8.0.1"},
			"no gateway":                {Request{Via: Via{Kind: ViaMACVLAN, Name: "p0", Mode: "bridge"}, Addresses: prefixes("10.3.0.9/24"), DefaultRoute: true}, nil, "--gateway"},
			"metric taken":              {Request{Via: bridge, Addresses: prefixes("fd00::7/64"), DefaultRoute: true, Metric: 1024}, lab.ErrConflict, "metric 1024"},
			"larger than the bridge":    {Request{Via: bridge, MTU: 9700}, nil, "--mtu 9700 is larger than that of bridge br0, which is 1500"},
			"no VLANs":                  {Request{Via: bridge, VLAN: 5}, lab.ErrUnsupported, "vlan_filtering"},
			"peer's name taken":         {Request{Target: s.b.ref, Interface: "x", Via: Via{Kind: ViaPeer, Peer: s.a.ref, Interface: "eth7"}}, lab.ErrConflict, "--peer-ifname"},
			"no such process":           {Request{Target: Ref{ByPID, "4194303"}, Via: bridge}, lab.ErrNotFound, "4194303"},
			"the host":                  {Request{Target: Ref{ByPID, "1"}, Via: bridge}, nil, "host's own"},
			"the host by a path":        {Request{Target: Ref{ByNetns, "/proc/self/ns/net"}, Via: bridge}, nil, "host's own"},
			"not a network namespace":   {Request{Target: Ref{ByNetns, "/proc/self/ns/mnt"}, Via: bridge}, lab.ErrNotFound, "a namespace of another kind"},
			"not a namespace":           {Request{Target: Ref{ByNetns, "/etc/passwd"}, Via: bridge}, nil, "/etc/passwd"},
			"no such path":              {Request{Target: Ref{ByNetns, "/run/netns/none"}, Via: bridge}, lab.ErrNotFound, "/run/netns/none"},
			"the other end's address":   {Request{Via: Via{Kind: ViaHost, Addresses: prefixes("10.0.0.1/32")}, Addresses: prefixes("10.4.0.1/32")}, lab.ErrConflict, "on br0"},
			"the host's address as its": {Request{Via: Via{Kind: ViaHost, Addresses: prefixes("10.4.0.2/32")}, Addresses: prefixes("10.0.0.1/32")}, lab.ErrConflict, "on br0"},
		} {
			q := tc.q
			if q.Target == (Ref{}) {
				q.Target = s.a.ref
			}
			if q.Interface == "" {
				q.Interface = "eth1"
			}
			_, err := Attach(t.Context(), &q, Options{})
			if err == nil || !strings.Contains(err.Error(), tc.text) || tc.kind != nil && !errors.Is(err, tc.kind) {
				t.Errorf("%s: %v", name, err)
			}
		}
		equal(t, "after all refusals", s.all(), before)
		if _, err := Detach(t.Context(), s.a.ref, "eth7", false); !errors.Is(err, lab.ErrConflict) {
			t.Errorf("detach of what nsnet has not attached: %v", err)
		}
		equal(t, "after a refused detach", s.all(), before)
	})
}

// Another request for an interface that is attached is refused; --replace has it, --if-absent
// lets it be.
func TestDiffers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := s.all()
		first := s.forms()["bridge"]
		res, err := Attach(t.Context(), first, Options{})
		if err != nil {
			t.Fatal(err)
		}
		attached := s.all()
		other := *first
		other.Addresses = prefixes("10.0.0.10/24")
		_, err = Attach(t.Context(), &other, Options{})
		if !errors.Is(err, lab.ErrConflict) || !strings.Contains(err.Error(), "10.0.0.9/24, fd00::9/64, not 10.0.0.10/24") {
			t.Errorf("another address: %v", err)
		}
		if res, err := Attach(t.Context(), &other, Options{IfAbsent: true}); err != nil || res.Changed {
			t.Errorf("--if-absent: %+v, %v", res, err)
		}
		if res, err := Attach(t.Context(), &other, Options{Replace: true, DryRun: true}); err != nil || !res.Changed {
			t.Errorf("--replace --dry-run: %+v, %v", res, err)
		}
		equal(t, "after what changes nothing", s.all(), attached)
		now, err := Attach(t.Context(), &other, Options{Replace: true})
		if err != nil || !now.Changed || now.Record.ID == res.Record.ID {
			t.Fatalf("--replace: %+v, %v", now, err)
		}
		s.a.run("ping", "-n", "-c", "1", "-W", "1", "10.0.0.1")
		if list, err := List(t.Context()); err != nil || len(list) != 1 || !slices.Equal(list[0].Addresses, []string{"10.0.0.10/24"}) {
			t.Errorf("after --replace: %+v, %v", list, err)
		}
		// As after somebody has emptied the directory of records.
		if err := os.RemoveAll(lab.RunDir); err != nil {
			t.Fatal(err)
		}
		if _, err := Attach(t.Context(), &other, Options{}); !errors.Is(err, lab.ErrConflict) || !strings.Contains(err.Error(), "record is gone") {
			t.Errorf("without its record: %v", err)
		}
		if res, err := Detach(t.Context(), s.a.ref, "eth1", false); err != nil || len(res.Detached) != 1 {
			t.Errorf("detach without a record: %+v, %v", res, err)
		}
		got := s.all()
		// The record knew the former default routes.
		equal(t, "at the end", got, slices.DeleteFunc(before, func(l string) bool {
			return strings.HasPrefix(l, "a: route 0.0.0.0/0")
		}))
	})
}

// What is not as it was attached is made anew by the same call, and said to be.
func TestDrift(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		s := newScene(t)
		before := s.all()
		for _, form := range []string{"bridge", "host", "peer", "macvlan", "nic"} {
			q := s.forms()[form]
			res, err := Attach(t.Context(), q, Options{})
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			name := q.Interface
			damages := map[string]func(port string){
				"address":                func(string) { s.a.run("ip", "address", "del", q.Addresses[0].String(), "dev", name) },
				"it is down":             func(string) { s.a.run("ip", "link", "set", name, "down") },
				"its route to 0.0.0.0/0": func(string) { s.a.run("ip", "route", "del", "default", "dev", name) },
			}
			if form == "bridge" {
				damages["not plugged"] = func(port string) { ip(t, "link set "+port+" nomaster") }
			}
			if form == "bridge" || form == "host" {
				damages["its other end is down"] = func(port string) { ip(t, "link set "+port+" down") }
			}
			if form == "host" {
				damages["the other end's address"] = func(port string) { ip(t, "address flush dev "+port) }
			}
			for words, damage := range damages {
				damage(res.Record.Port)
				again, err := Attach(t.Context(), q, Options{})
				if err != nil {
					t.Fatalf("%s, %s: %v", form, words, err)
				}
				if !again.Changed || len(again.Notes) != 1 || !strings.Contains(again.Notes[0], words) {
					t.Errorf("%s, %s: %+v", form, words, again)
				}
				res = again
				if last, err := Attach(t.Context(), q, Options{}); err != nil || last.Changed {
					t.Errorf("%s, %s, once more: %+v, %v", form, words, last, err)
				}
			}
			if _, err := Detach(t.Context(), q.Target, name, false); err != nil {
				t.Fatal(err)
			}
			equal(t, form+", detached", s.all(), before)
		}
	})
}
