package dns

import (
	"strings"

	"github.com/nsnet/nsnet/topology"
)

// header is the first line of each file this package writes. It is the owner's mark:
// a file without it belongs to somebody else.
const header = "# Made by nsnet; changes are lost when the lab is changed or taken down.\n"

// ResolvConf renders d as resolv.conf(5): one nameserver line each, one search line,
// one options line. Values that are no single word are left out.
func ResolvConf(d topology.DNS) []byte {
	var b strings.Builder
	b.WriteString(header)
	for _, ns := range words(d.Nameservers) {
		b.WriteString("nameserver ")
		b.WriteString(ns)
		b.WriteByte('\n')
	}
	list := func(keyword string, values []string) {
		if len(values) == 0 {
			return
		}
		b.WriteString(keyword)
		for _, v := range values {
			b.WriteByte(' ')
			b.WriteString(v)
		}
		b.WriteByte('\n')
	}
	list("search", words(d.Search))
	list("options", words(d.Options))
	return []byte(b.String())
}
