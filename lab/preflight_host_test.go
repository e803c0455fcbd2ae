package lab

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/rtnl"
)

// FAULTS 33.
func TestFault33_LocksOnANetwork(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind int64
		want bool
	}{"nfs": {unix.NFS_SUPER_MAGIC, true}, "smb2": {unix.SMB2_SUPER_MAGIC, true}, "smb": {unix.SMB_SUPER_MAGIC, true},
		"tmpfs": {unix.TMPFS_MAGIC, false}, "ext4": {unix.EXT4_SUPER_MAGIC, false}, "btrfs": {unix.BTRFS_SUPER_MAGIC, false}} {
		if got := onNetwork(tt.kind); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FAULTS 11.
func TestFault11_SubnetOfTheHost(t *testing.T) {
	t.Parallel()
	route := func(to string, protocol, table int) rtnl.TableRoute {
		return rtnl.TableRoute{To: netip.MustParsePrefix(to), Protocol: protocol, Table: table, Type: unix.RTN_UNICAST}
	}
	routes := []rtnl.TableRoute{
		route("0.0.0.0/0", unix.RTPROT_DHCP, unix.RT_TABLE_MAIN),
		route("10.0.0.0/8", unix.RTPROT_STATIC, unix.RT_TABLE_MAIN),
		route("172.17.0.0/16", unix.RTPROT_KERNEL, unix.RT_TABLE_MAIN),
		route("192.168.1.128/25", unix.RTPROT_STATIC, unix.RT_TABLE_MAIN),
		route("192.168.7.1/32", unix.RTPROT_KERNEL, unix.RT_TABLE_LOCAL),
		route("fe80::/64", unix.RTPROT_KERNEL, unix.RT_TABLE_MAIN),
		route("fd00:1::/64", unix.RTPROT_KERNEL, unix.RT_TABLE_MAIN),
	}
	for subnet, want := range map[string]string{
		"10.5.0.0/24":    "", // a larger network behind a router is refined
		"10.0.0.0/8":     "10.0.0.0/8",
		"10.0.0.0/7":     "10.0.0.0/8",
		"172.17.3.0/24":  "172.17.0.0/16", // an interface of the host is in it
		"172.18.0.0/16":  "",
		"192.168.1.0/24": "192.168.1.128/25",
		"192.168.7.0/24": "",
		"fd00:1::/64":    "fd00:1::/64",
		"fd00:2::/64":    "",
		"fe80::/64":      "",
	} {
		got := ""
		if r := clash(netip.MustParsePrefix(subnet), routes); r != nil {
			got = r.To.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", subnet, got, want)
		}
	}
}
