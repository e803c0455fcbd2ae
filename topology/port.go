package topology

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

func (d *decoder) port(n *yaml.Node) (portSpec, bool) {
	s, ok := d.text(n, "a port")
	if !ok {
		return portSpec{}, false
	}
	p, err := parsePort(s)
	if err != nil {
		d.errorf(n, "port %q %v", s, err)
		return portSpec{}, false
	}
	return portSpec{p, n}, true
}

// parsePort reads "[HOSTADDR:]HOSTPORT:PORT[/tcp|udp]". An IPv6 HOSTADDR is in brackets.
func parsePort(s string) (Port, error) {
	p := Port{HostAddr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Protocol: "tcp"}
	rest, proto, given := strings.Cut(s, "/")
	if given {
		if proto != "tcp" && proto != "udp" {
			return p, errors.New("ends with neither /tcp nor /udp")
		}
		p.Protocol = proto
	}
	at := strings.LastIndexByte(rest, ':')
	if at < 0 {
		return p, errors.New("is not HOSTPORT:PORT")
	}
	host, port := rest[:at], rest[at+1:]
	if at = strings.LastIndexByte(host, ':'); at >= 0 {
		text := host[:at]
		bare := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
		a, err := netip.ParseAddr(bare)
		if err != nil || a.Is4In6() || a.Is6() != (len(text) == len(bare)+2) {
			return p, errors.New("does not begin with an IP address (IPv6 in brackets)")
		}
		p.HostAddr, host = a, host[at+1:]
	}
	var ok, ok2 bool
	p.HostPort, ok = portNumber(host)
	p.Port, ok2 = portNumber(port)
	if !ok || !ok2 {
		return p, errors.New("has a port that is not a number from 1 to 65535")
	}
	return p, nil
}

func portNumber(s string) (uint16, bool) {
	v, err := strconv.ParseUint(s, 10, 16)
	return uint16(v), err == nil && v > 0
}
