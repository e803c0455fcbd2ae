package announce

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
)

func TestFrames(t *testing.T) {
	mac := net.HardwareAddr{0x02, 0, 0, 0, 0, 0x2a}
	for name, tc := range map[string]struct {
		frame []byte
		want  string
	}{
		"arp": {arp(mac, netip.MustParseAddr("10.9.0.11")),
			"ffffffffffff" + "02000000002a" + "0806" + "0001" + "0800" + "06" + "04" + "0001" + "02000000002a" + "0a09000b" + "000000000000" + "0a09000b"},
		"a host": {advertisement(mac, netip.MustParseAddr("fd09::11"), false),
			"333300000001" + "02000000002a" + "86dd" + "60000000" + "0020" + "3a" + "ff" + "fd090000000000000000000000000011" + "ff020000000000000000000000000001" +
				"88" + "00" + "5a40" + "20000000" + "fd090000000000000000000000000011" + "0201" + "02000000002a"},
		"a router": {advertisement(mac, netip.MustParseAddr("fd09::11"), true),
			"333300000001" + "02000000002a" + "86dd" + "60000000" + "0020" + "3a" + "ff" + "fd090000000000000000000000000011" + "ff020000000000000000000000000001" +
				"88" + "00" + "da3f" + "a0000000" + "fd090000000000000000000000000011" + "0201" + "02000000002a"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := hex.EncodeToString(tc.frame); got != tc.want {
				t.Errorf("\n%s, not\n%s", got, tc.want)
			}
		})
	}
}
