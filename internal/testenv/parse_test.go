package testenv

import (
	"slices"
	"testing"
)

func TestParseStat(t *testing.T) {
	const tail = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
	got, err := parseStat("42 (a b) c) S" + tail)
	if want := (process{pid: 42, parent: 1, state: 'S', start: "4711", name: "a b) c"}); err != nil || got != want {
		t.Errorf("got %+v, error %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x) S 1", "x (x) S" + tail} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestFirewallItems(t *testing.T) {
	const nft = `table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
	}
	chain DOCKER {
	}
}
table inet lab {
	set s {
		type ipv4_addr
	}
	chain c {
		type nat hook postrouting priority srcnat; policy accept;
		masquerade
	}
}
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
`
	want := []string{
		"table ip nat chain DOCKER",
		"table inet lab",
		"table inet lab set s",
		"table inet lab set s type ipv4_addr",
		"table inet lab chain c",
		"table inet lab chain c type nat hook postrouting priority srcnat; policy accept;",
		"table inet lab chain c masquerade",
		"table ip filter chain FORWARD type filter hook forward priority filter; policy drop;",
	}
	if got := nftItems(nft); !slices.Equal(got, want) {
		t.Errorf("nft: got %q, want %q", got, want)
	}
	const save = "# Generated\n*nat\n:POSTROUTING ACCEPT [1:2]\n:MINE - [0:0]\n-A POSTROUTING -j MINE\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"
	want = []string{"p *nat :MINE -", "p *nat -A POSTROUTING -j MINE", "p *filter :FORWARD DROP"}
	if got := iptablesItems("p", save); !slices.Equal(got, want) {
		t.Errorf("iptables: got %q, want %q", got, want)
	}
}
