package bridge

import (
	"testing"

	"github.com/google/nftables/expr"
)

func TestAcceptsBridged(t *testing.T) {
	t.Parallel()
	name := func(key expr.MetaKey, data string, op expr.CmpOp) []expr.Any {
		return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte(data)}}
	}
	in := func(s string) []expr.Any { return name(expr.MetaKeyIIFNAME, s, expr.CmpOpEq) }
	out := func(s string) []expr.Any { return name(expr.MetaKeyOIFNAME, s, expr.CmpOpEq) }
	accept := []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}}
	rule := func(parts ...[]expr.Any) (all []expr.Any) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	physdev := []expr.Any{&expr.Match{Name: "physdev"}}
	for what, c := range map[string]struct {
		exprs []expr.Any
		want  bool
	}{
		"in":              {rule(in("br0\x00"), accept), true},
		"in and out":      {rule(in("br0\x00"), out("br0\x00"), accept), true},
		"a beginning":     {rule(in("br"), accept), true},
		"bridged at all":  {rule(physdev, accept), true},
		"out":             {rule(out("br0\x00"), accept), false},
		"another":         {rule(in("br1\x00"), accept), false},
		"to others":       {rule(in("br0\x00"), name(expr.MetaKeyOIFNAME, "br0\x00", expr.CmpOpNeq), accept), false},
		"a longer name":   {rule(in("br0x\x00"), accept), false},
		"of a connection": {rule(in("br0\x00"), []expr.Any{&expr.Match{Name: "conntrack"}}, accept), false},
		"a protocol":      {rule(in("br0\x00"), []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO}}, accept), false},
		"dropped":         {rule(in("br0\x00"), []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}), false},
		"no condition":    {accept, false},
	} {
		if got := acceptsBridged(c.exprs, "br0"); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestLegacyAcceptsBridged(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]bool{
		"-P FORWARD DROP":                                                        false,
		"-A FORWARD -i br0 -o br0 -j ACCEPT":                                     true,
		"-A FORWARD -i br+ -j ACCEPT":                                            true,
		"-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT":                   true,
		"-A DOCKER-USER -i br0 -o br0 -m comment --comment mine -j ACCEPT":       true,
		"-A FORWARD -i br1 -o br1 -j ACCEPT":                                     false,
		"-A FORWARD -o br0 -j ACCEPT":                                            false,
		"-A FORWARD -i br0 ! -o br0 -j ACCEPT":                                   false,
		"-A FORWARD -i br0 -o br0 -j DROP":                                       false,
		"-A FORWARD -i br0 -p tcp -j ACCEPT":                                     false,
		"-A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT": false,
		"-A FORWARD -i br0":                                                      false,
	} {
		if got := legacyAcceptsBridged(rule, "br0"); got != want {
			t.Errorf("%s: %v", rule, got)
		}
	}
}
