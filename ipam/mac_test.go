package ipam

import (
	"fmt"
	"testing"
)

func TestMACIsLocalUnicastAndStable(t *testing.T) {
	if got, want := InterfaceMAC("demo", "web", "eth0").String(), InterfaceMAC("demo", "web", "eth0").String(); got != want {
		t.Fatalf("%s, then %s", got, want)
	}
	// Written down so that a change of the derivation, which changes every lab, is seen.
	if got := InterfaceMAC("demo", "web", "eth0").String(); got != "b6:f3:5e:52:9f:74" {
		t.Errorf("the derivation changed: %s", got)
	}
	seen := map[string]string{}
	add := func(who, mac string, first byte) {
		if first&3 != 2 {
			t.Errorf("%s: %s is not a locally administered unicast address", who, mac)
		}
		if other, ok := seen[mac]; ok {
			t.Errorf("%s and %s have %s", who, other, mac)
		}
		seen[mac] = who
	}
	for i := range 20000 {
		m := InterfaceMAC("demo", fmt.Sprint("n", i), "eth0")
		add(fmt.Sprint("n", i), m.String(), m[0])
	}
	for _, name := range []string{"n1", "lan0"} {
		m := BridgeMAC("demo", name)
		add("bridge "+name, m.String(), m[0])
		m = HostMAC("demo", name)
		add("host leg "+name, m.String(), m[0])
	}
	if a, b := InterfaceMAC("a", "bc", "d").String(), InterfaceMAC("ab", "c", "d").String(); a == b {
		t.Error("names that join to the same text have the same address")
	}
}
