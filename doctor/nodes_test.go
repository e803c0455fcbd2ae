package doctor

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/topology"
)

func TestExamineNodes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ node, want string }{
		{"command: [/usr/lib/frr/zebra, -d]", "zebra of FRR"},
		{"command: [/usr/lib/frr/frrinit.sh, start]", "frrinit.sh of FRR"},
		{"command: /usr/lib/frr/watchfrr -d zebra bgpd", "watchfrr of FRR"},
		{"command: touch x && /usr/lib/frr/zebra -d -f y && exec /usr/lib/frr/bgpd", "zebra of FRR"},
		{"command: /usr/lib/frr/zebra; /usr/lib/frr/zebra", "zebra of FRR"},
		{"command: [bash, -ec, \"if true; then exec nice -n 5 /usr/lib/frr/zebra; fi\"]", "zebra of FRR"},
		{"entrypoint: [tini, --, /usr/lib/frr/docker-start]", "docker-start of FRR"},
		{"{command: [/usr/lib/frr/zebra], caps: [SYS_ADMIN]}", ""},
		{"{command: [/usr/lib/frr/zebra], privileged: true}", ""},
		{"{command: [/usr/lib/frr/zebra], privileged: true, caps: [-SYS_ADMIN]}", "zebra of FRR"},
		{"command: [/usr/lib/frr/bgpd]", ""},
		{"command: [vtysh, -c, show zebra]", ""},
		{"command: echo zebra", ""},
		{"command: [ptp4l, -i, eth0]", "ptp4l wants hardware"},
		{"command: [ptp4l, -i, eth0, -S]", ""},
		{"command: [ptp4l, -i, eth0, --time_stamping=software]", ""},
		{"command: env A=1 timeout 5s openvpn --config x", "openvpn opens /dev/net/tun"},
		{"{command: openvpn --config x, tun: true}", ""},
		{"command: mount -t tmpfs x /mnt; sleep 1", "mount needs the capability SYS_ADMIN"},
		{"command: sh", ""},
		{"command: [env]", ""},
		{"{}", ""},
	} {
		text := "name: x\nnodes:\n  n:\n    " + tc.node + "\n"
		l, err := topology.Parse("x.yaml", []byte(text), topology.Options{})
		if err != nil {
			t.Errorf("%s: %v", tc.node, err)
			continue
		}
		found := ExamineNodes(l)
		switch {
		case tc.want == "" && len(found) > 0:
			t.Errorf("%s: %+v", tc.node, found)
		case tc.want != "" && (len(found) != 1 || found[0].Check != "node n" || found[0].Status != Note || !strings.HasPrefix(found[0].Detail, tc.want) || found[0].Remedy == ""):
			t.Errorf("%s: %+v, want %s", tc.node, found, tc.want)
		}
	}
}
