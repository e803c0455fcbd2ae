package wiring

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/topology"
)

func TestInterfaceSysctls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sysctls map[string]string
		want    [][2]string
	}{
		"none":               {nil, [][2]string{{"accept_ra", "0"}, {"keep_addr_on_down", "1"}, {"mldv2_unsolicited_report_interval", "1"}}},
		"another's":          {map[string]string{"net.ipv6.conf.eth1.accept_ra": "1", "net.ipv6.conf.all.accept_ra": "1"}, [][2]string{{"accept_ra", "0"}, {"keep_addr_on_down", "1"}, {"mldv2_unsolicited_report_interval", "1"}}},
		"its own":            {map[string]string{"net.ipv6.conf.e/0.accept_ra": "2"}, [][2]string{{"accept_ra", "2"}, {"keep_addr_on_down", "1"}, {"mldv2_unsolicited_report_interval", "1"}}},
		"of all new ones":    {map[string]string{"net.ipv6.conf.default.accept_ra": "1"}, [][2]string{{"keep_addr_on_down", "1"}, {"mldv2_unsolicited_report_interval", "1"}}},
		"own before default": {map[string]string{"net.ipv6.conf.default.keep_addr_on_down": "1", "net.ipv6.conf.e/0.keep_addr_on_down": "0"}, [][2]string{{"accept_ra", "0"}, {"keep_addr_on_down", "0"}, {"mldv2_unsolicited_report_interval", "1"}}},
	} {
		if diff := cmp.Diff(c.want, InterfaceSysctls(&topology.Node{Sysctls: c.sysctls}, "e.0")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
