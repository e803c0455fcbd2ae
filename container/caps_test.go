package container

import (
	"testing"

	"github.com/nsnet/nsnet/topology"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestCapabilities(t *testing.T) {
	const admin, kill, raw = uint64(1 << unix.CAP_SYS_ADMIN), uint64(1 << unix.CAP_KILL), uint64(1 << unix.CAP_NET_RAW)
	for _, tc := range []struct {
		name       string
		caps       topology.Caps
		privileged bool
		want       uint64
	}{
		{name: "default", want: 0x43dfb},
		{name: "privileged", privileged: true, want: 0x1ffffffffff},
		{name: "add", caps: topology.Caps{Add: []string{"SYS_ADMIN"}}, want: 0x43dfb | admin},
		{name: "drop", caps: topology.Caps{Drop: []string{"NET_RAW", "KILL"}}, want: 0x43dfb &^ (raw | kill)},
		{name: "drop wins", caps: topology.Caps{Add: []string{"SYS_ADMIN"}, Drop: []string{"SYS_ADMIN"}}, want: 0x43dfb},
		{name: "add all", caps: topology.Caps{Add: []string{"ALL"}, Drop: []string{"KILL"}}, want: 0x1ffffffffff &^ kill},
		{name: "drop all", caps: topology.Caps{Drop: []string{"ALL"}}, want: 0},
		{name: "only", caps: topology.Caps{Drop: []string{"ALL"}, Add: []string{"KILL"}}, want: kill},
		{name: "privileged drop", caps: topology.Caps{Drop: []string{"KILL"}}, privileged: true, want: 0x1ffffffffff &^ kill},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Capabilities(tc.caps, tc.privileged)
			if err != nil || got != tc.want {
				t.Errorf("%#x, %v, want %#x", got, err, tc.want)
			}
		})
	}
}

// What a file has to ask for is what a node has not by default: package topology knows the names of that.
func TestDefaultCapabilities(t *testing.T) {
	none, err := Capabilities(topology.Caps{Add: topology.DefaultCaps(), Drop: []string{"ALL"}}, false)
	if err != nil || none != defaultCapabilities {
		t.Errorf("topology.DefaultCaps is %x, the default is %x: %v", none, defaultCapabilities, err)
	}
}

func TestCapabilitiesUnknown(t *testing.T) {
	for _, name := range []string{"", "NET_ADMINS", "CAP_KILL", "kill", "41"} {
		for _, c := range []topology.Caps{{Add: []string{name}}, {Drop: []string{"ALL", name}}} {
			if mask, err := Capabilities(c, false); err == nil || mask != 0 {
				t.Errorf("%+v: %#x, %v", c, mask, err)
			}
		}
	}
}

func TestCapabilityNames(t *testing.T) {
	if len(capabilityNames) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names, the kernel header has %d", len(capabilityNames), unix.CAP_LAST_CAP+1)
	}
	seen := map[string]bool{}
	for bit, name := range capabilityNames {
		if name == "" || seen[name] {
			t.Errorf("capability %d is named %q", bit, name)
		}
		seen[name] = true
	}
}

// What is dropped is never left, unless it was added after ALL was dropped.
func TestCapabilitiesDrop(t *testing.T) {
	name := rapid.SampledFrom(append([]string{"ALL"}, capabilityNames[:]...))
	rapid.Check(t, func(t *rapid.T) {
		c := topology.Caps{
			Add:  rapid.SliceOf(name).Draw(t, "add"),
			Drop: rapid.SliceOf(name).Draw(t, "drop"),
		}
		mask, err := Capabilities(c, rapid.Bool().Draw(t, "privileged"))
		if err != nil {
			t.Fatal(err)
		}
		drop, all, _ := capabilityMask(c.Drop)
		add, _, _ := capabilityMask(c.Add)
		if !all && mask&drop != 0 || all && mask != add {
			t.Fatalf("mask %#x after drop %#x, add %#x", mask, drop, add)
		}
	})
}
