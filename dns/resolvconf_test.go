package dns

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nsnet/nsnet/topology"
	"pgregory.net/rapid"
)

func TestResolvConf(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   topology.DNS
		want string
	}{
		{"empty", topology.DNS{}, ""},
		{"all", topology.DNS{
			Nameservers: []string{"8.8.8.8", "2001:db8::53"},
			Search:      []string{"lab.test", "example.org"},
			Options:     []string{"ndots:1", "edns0"},
		}, "nameserver 8.8.8.8\nnameserver 2001:db8::53\nsearch lab.test example.org\noptions ndots:1 edns0\n"},
		{"injection", topology.DNS{
			Nameservers: []string{"8.8.8.8\nnameserver 6.6.6.6", "1.1.1.1"},
			Search:      []string{"a b", "#x", ""},
			Options:     []string{"rotate\roptions"},
		}, "nameserver 1.1.1.1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(header+tc.want, string(ResolvConf(tc.in))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// parseResolvConf reads a resolv.conf as resolv.conf(5) describes it.
func parseResolvConf(data []byte) topology.DNS {
	var d topology.DNS
	for line := range strings.SplitSeq(string(data), "\n") {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			d.Nameservers = append(d.Nameservers, f[1:]...)
		case "search":
			d.Search = append(d.Search, f[1:]...)
		case "options":
			d.Options = append(d.Options, f[1:]...)
		}
	}
	return d
}

func TestResolvConfParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9:.]{1,9}`)))
		in := topology.DNS{
			Nameservers: values.Draw(t, "nameservers"),
			Search:      values.Draw(t, "search"),
			Options:     values.Draw(t, "options"),
		}
		keep := func(list []string) (out []string) {
			for _, s := range list {
				if isWord(s) {
					out = append(out, s)
				}
			}
			return out
		}
		want := topology.DNS{Nameservers: keep(in.Nameservers), Search: keep(in.Search), Options: keep(in.Options)}
		data := ResolvConf(in)
		if diff := cmp.Diff(want, parseResolvConf(data)); diff != "" {
			t.Fatalf("%q: %s", data, diff)
		}
		lines := 1 + len(want.Nameservers) + min(1, len(want.Search)) + min(1, len(want.Options))
		if got := strings.Count(string(data), "\n"); got != lines {
			t.Fatalf("%d lines, want %d: %q", got, lines, data)
		}
	})
}
