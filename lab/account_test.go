package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// What is told of a change that failed is what was done of it: of wires step by step, of the rest as it was noted.
func TestAccount(t *testing.T) {
	t.Parallel()
	d := &difference{}
	d.say("~", "limits", "a", "", "", "")
	d.say("~", "limits", "b", "", "", "")
	d.say("-", "port", "127.0.0.1:81/tcp", "", "", "")
	d.say("+", "port", "127.0.0.1:80/tcp", "", "", "")
	d.wire(&observed{changes: []wiring.Change{
		{Op: "~", Kind: "link", Name: "a:r -- b:r", Steps: []wiring.Step{{Verb: wiring.SetLink}, {Verb: wiring.UpLink}}},
		{Op: "-", Kind: "route", Name: "a: 10.0.0.0/8", Steps: []wiring.Step{{Verb: wiring.DelRoute}}},
		{Op: "+", Kind: "route", Name: "a: 10.1.0.0/16", Steps: []wiring.Step{{Verb: wiring.AddRoute}}},
	}})
	a := newAccount(d)
	told := func(want string) {
		t.Helper()
		if got := a.String(); got != want {
			t.Errorf("it is told\n%s\nwant\n%s", got, want)
		}
	}
	told("of 7 changes 0 are made: none; not made: limits a, limits b, port 127.0.0.1:81/tcp, port 127.0.0.1:80/tcp, link a:r -- b:r and 2 more")
	steps := wiring.Steps(d.wires) // in the order of their verbs
	steps[0].Done()
	steps[2].Done()
	a.made("- port", "~ limits a")
	a.begun("~ limits")
	told("of 7 changes 3 are made: limits a, port 127.0.0.1:81/tcp, route a: 10.0.0.0/8; begun: limits b, link a:r -- b:r; not made: port 127.0.0.1:80/tcp, route a: 10.1.0.0/16")
	for i := range wiring.Steps(d.wires)[1:] {
		steps[i+1].Done()
	}
	a.made("~ limits", "+ port")
	told("of 7 changes 7 are made: limits a, limits b, port 127.0.0.1:81/tcp, port 127.0.0.1:80/tcp, link a:r -- b:r and 2 more; not made: none")
}

// What cannot be made of new things is not begun, whatever is said of all of their kind; what was to be another is.
func TestAccountOfWhatIsLost(t *testing.T) {
	t.Parallel()
	d := &difference{}
	d.say("+", "node", "a", "", "", "")
	d.say("+", "node", "bad", "", "", "")
	d.say("~", "node", "worse", "", "", "")
	a := newAccount(d)
	a.begun("+ node", "~ node")
	a.lose("node", "bad", "worse")
	a.made("+ node", "~ node")
	if got, want := a.String(), "of 3 changes 1 are made: node a; begun: node worse; not made: node bad"; got != want {
		t.Errorf("it is told\n%s\nwant\n%s", got, want)
	}
	if got := a.names(made); !slices.Equal(got, []string{"node a"}) || a.all("+ node") {
		t.Errorf("made are %v", got)
	}
}

// What of a lab is no more is written down within it, and adds up.
func TestPieces(t *testing.T) {
	t.Parallel()
	raw := json.RawMessage(`{"name":"l","nodes":[{"name":"a"}]}`)
	for _, names := range [][]string{{"limits a"}, {"hosts l", "limits a"}} {
		var err error
		if raw, err = addPieces(raw, names); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := readPieces(raw)
	if l, lerr := decodeLab("/run/nsnet/l", raw); err != nil || lerr != nil || len(gone) != 2 || !gone["limits a"] || !gone["hosts l"] || len(l.Nodes) != 1 {
		t.Errorf("%s: %v, %v, %v", raw, gone, err, lerr)
	}
}

// A port that the host refuses is tried again after the change where that may make it free, and there alone.
func TestPortComesFree(t *testing.T) {
	t.Parallel()
	used, away := fmt.Errorf("listen: %w", unix.EADDRINUSE), fmt.Errorf("listen: %w", unix.EADDRNOTAVAIL)
	lan := []topology.Bridge{{Name: "lan0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}
	for _, c := range []struct {
		port   string
		udp    bool
		closed string
		err    error
		want   bool
	}{
		{"127.0.0.1:80", false, "127.0.0.1:81/tcp", used, false},
		{"127.0.0.1:80", false, "127.0.0.2:80/tcp", used, false},
		{"127.0.0.1:80", false, "0.0.0.0:80/udp", used, false},
		{"127.0.0.1:80", true, "0.0.0.0:80/udp", used, true},
		{"127.0.0.1:80", false, "0.0.0.0:80/tcp", used, true},
		{"0.0.0.0:80", false, "127.0.0.1:80/tcp", used, true},
		{"0.0.0.0:80", false, "[::1]:80/tcp", used, false},
		{"[::]:80", false, "127.0.0.1:80/tcp", used, true},
		{"127.0.0.1:80", false, "[::]:80/tcp", used, true},
		{"0.0.0.0:80", false, "127.0.0.1:80/tcp", unix.EACCES, false},
		{"10.0.0.1:80", false, "", away, true},
		{"10.0.0.2:80", false, "", away, false},
		{"10.0.0.1:80", false, "", errors.New("other"), false},
	} {
		at := netip.MustParseAddrPort(c.port)
		p := topology.Port{HostAddr: at.Addr(), HostPort: at.Port(), Protocol: "tcp"}
		if c.udp {
			p.Protocol = "udp"
		}
		if got := comesFree(p, []string{c.closed}, lan, c.err); got != c.want {
			t.Errorf("%s in the place of %s, %v: %v", c.port, c.closed, c.err, got)
		}
	}
}
