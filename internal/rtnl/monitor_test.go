package rtnl

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// changed is what a monitor has to tell, without repetitions.
func changed(t *testing.T, m *Monitor) (ids []int, lost bool) {
	t.Helper()
	lost, err := m.Changed(func(id, link int) {
		ids = append(ids, id)
		if link > 1 {
			t.Errorf("interface %d", link)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	return slices.Compact(ids), lost
}

func TestMonitor(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		here, err := Dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		there := map[int]*Conn{}
		const none = -2
		for _, id := range []int{70000, 70001, none} {
			ns := newNetns(t)
			if id > 0 {
				if err := here.Do(NumberNetns(int(ns.Fd()), id, "number")); err != nil {
					t.Fatal(err)
				}
				if err := here.Do(NumberNetns(int(ns.Fd()), id+10, "number again")); err == nil {
					t.Error("a second id is taken")
				}
			}
			if there[id], err = Dial(ns); err != nil {
				t.Fatal(err)
			}
			defer there[id].Close()
			if err := there[id].Do(Up("lo", "up")); err != nil {
				t.Fatal(err)
			}
		}
		m, err := NewMonitor()
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if ids, lost := changed(t, m); len(ids) > 0 || lost {
			t.Errorf("before: %v, lost %v", ids, lost)
		}
		a := netip.MustParsePrefix("192.0.2.1/32")
		a6 := netip.MustParsePrefix("2001:db8::1/128")
		r := netip.MustParsePrefix("192.0.2.9/32")
		for i, step := range []struct {
			name string
			id   int
			do   Request
		}{
			{"address", 70000, Address(1, a, "a")},
			{"IPv6 address", 70001, Address(1, a6, "a")},
			{"route", 70001, Route(r, netip.Addr{}, 1, 0, "r")},
			{"address that goes", 70000, DeleteAddress(1, a, "a")},
			{"interface", 70000, Change{Index: 1, MTU: 2000}.Request("mtu")},
			{"alias", 70001, Alias("lo", "x", "alias")},
			{"own", ThisNetns, Address(1, a, "a")},
			{"own that goes", ThisNetns, DeleteAddress(1, a, "a")},
		} {
			c := there[step.id]
			if step.id == ThisNetns {
				c = here
			}
			if err := c.Do(step.do); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			// IPv6 goes on for a moment in the namespaces where something has begun.
			if ids, lost := changed(t, m); !slices.Contains(ids, step.id) || i == 0 && len(ids) > 1 || lost {
				t.Errorf("%s in %d: %v, lost %v", step.name, step.id, ids, lost)
			}
		}
		// One without an id is not heard of.
		if err := there[none].Do(Address(1, a, "a")); err != nil {
			t.Fatal(err)
		}
		if ids, _ := changed(t, m); len(ids) > 0 {
			t.Errorf("of a namespace without an id: %v", ids)
		}
		// Looking is no change.
		if _, err := there[70000].Links(); err != nil {
			t.Fatal(err)
		}
		if ids, _ := changed(t, m); len(ids) > 0 {
			t.Errorf("a list is told as a change of %v", ids)
		}
		// What nobody asks for is lost at some time, and that is told.
		for range 3000 {
			if err := there[70000].Do(Address(1, a, "a"), DeleteAddress(1, a, "a")); err != nil {
				t.Fatal(err)
			}
		}
		if _, lost := changed(t, m); !lost {
			t.Error("a loss was not told")
		}
		if ids, lost := changed(t, m); len(ids) > 0 || lost {
			t.Errorf("after the loss: %v, lost %v", ids, lost)
		}
	})
}
