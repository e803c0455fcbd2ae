package lab

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// said is the actions of a difference, one a line.
func said(d *difference) string {
	var text strings.Builder
	for _, a := range d.actions {
		fmt.Fprintf(&text, "%s %s %s: %s (%s; %s)\n", a.Op, a.Kind, a.Name, a.Detail, a.Reason, a.Cost)
	}
	return text.String()
}

// Which commands that do not run are started again, and why.
func TestEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state proto.NodeState
		why   string // empty: it is left alone
	}{
		"it runs":     {proto.NodeState{State: StateRunning}, ""},
		"it is done":  {proto.NodeState{State: StateExited}, ""},
		"it failed":   {proto.NodeState{State: StateExited, WaitStatus: 3 << 8}, "it has ended with exit code 3"},
		"killed":      {proto.NodeState{State: StateExited, WaitStatus: 9}, "it was ended by SIGKILL"},
		"stopped":     {proto.NodeState{State: StateStopped}, "it was stopped"},
		"paused":      {proto.NodeState{State: StateExited, WaitStatus: 9, Paused: true}, ""},
		"it comes up": {proto.NodeState{State: StateRestarting, WaitStatus: 3 << 8}, ""},
	} {
		d := &difference{}
		d.ended(&topology.Node{Name: "n", Command: []string{"x", "y"}}, &c.state)
		want := ""
		if c.why != "" {
			want = "~ command n: x y (" + c.why + "; command restarted)\n"
		}
		if got := said(d); got != want || (len(d.start) == 1) != (want != "") {
			t.Errorf("%s: start %q, %q", name, d.start, got)
		}
	}
}

// What becomes of translation, of the host's forwarding, and of rules that are not needed any more.
func TestCompareHost(t *testing.T) {
	t.Parallel()
	lab := func(nat bool) *topology.Lab {
		return &topology.Lab{Name: "l", Bridges: []topology.Bridge{{Name: "b", NAT: nat, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}}
	}
	old, still := bridge.Rule{Program: "p", Chain: "OLD", Spec: []string{"-j", "ACCEPT"}}, bridge.Rule{Program: "p", Chain: "STILL"}
	for name, c := range map[string]struct {
		want, had *topology.Lab
		table     bool
		text      string
	}{
		"begins": {lab(true), lab(false), false, "+ nat l: b 10.0.0.0/24 (; )\n"},
		"ends":   {lab(false), lab(true), true, "- nat l:  (; )\n"},
		"stays":  {lab(true), lab(true), true, ""},
	} {
		d := &difference{}
		d.host(c.want, &observed{want: wiring.Of(c.want, true), wants: []*wiring.Want{wiring.Of(c.had, true)}, rec: &record{Rules: []bridge.Rule{old, still}}, had: []*topology.Lab{c.had}, state: &proto.LabState{Table: c.table}, rules: []bridge.Rule{still}})
		if diff := cmp.Diff(c.text+"- rule p OLD: -j ACCEPT (; )\n", said(d)); diff != "" || len(d.oldRules) != 1 || d.oldRules[0].Chain != "OLD" || d.table != (c.text != "") {
			t.Errorf("%s: table %t, old rules %+v\n%s", name, d.table, d.oldRules, diff)
		}
	}
}

// A driver that the file names is asked for, one that the command line names is not: see otherStorage.
func TestStorageThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for driver, asked := range map[string]bool{topology.StorageOverlay: true, "": false} {
		n := topology.Node{Name: "n", Image: topology.Image{Kind: topology.ImageDir, Path: "/x"}, Storage: topology.StorageOverlay}
		given := n
		given.Storage = driver
		b := &builder{lab: &topology.Lab{Nodes: []topology.Node{n}}, given: map[string]*topology.Node{"n": &given}}
		if err := b.chooseStorage(b.lab.Nodes); err != nil || len(b.storage["n"]) != 1 || b.storage["n"][0].Asked != asked {
			t.Errorf("%q in the file: %+v, %v", driver, b.storage, err)
		}
	}
}

// What a node keeps is not mounted by a kernel that would take its marks for names of a user's.
func TestKeptMark(t *testing.T) {
	t.Parallel()
	dir, n := filepath.Join(t.TempDir(), "n"), &topology.Node{Name: "n", Unions: []topology.Union{{Path: "/u"}}}
	for range 2 {
		if err := keepNode(dir, n, overlayfs.UserMark); err != nil {
			t.Fatal(err)
		}
	}
	if err := keepNode(dir, n, overlayfs.TrustedMark); err == nil || !strings.Contains(err.Error(), "--purge") {
		t.Errorf("on another kernel: %v", err)
	}
}

// What is said of a node that is started anew is in the words of the file, and says what becomes of files that are kept.
func TestAnewText(t *testing.T) {
	t.Parallel()
	plain := topology.Node{Name: "n", Writable: topology.Writable{Size: 1 << 20}}
	kept, larger, limited := plain, plain, plain
	kept.Writable = topology.Writable{Persist: true}
	larger.Writable.Size = 2 << 20
	limited.Limits.Pids, limited.Hostname = 10, "other"
	for _, c := range []struct {
		was, is *topology.Node
		want    string
	}{
		{&plain, &kept, "persist changed (what it has written is gone; what it writes from now on is kept in " + KeepDir + "/demo/n)"},
		{&kept, &plain, "persist changed (what it has kept stays in " + KeepDir + "/demo/n, and is not in the node)"},
		{&plain, &larger, "writable_size changed"},
		{&plain, &limited, "hostname, limits changed"},
		{nil, &plain, "it is not yet as the file wants it"},
	} {
		if got := anewText("demo", c.was, c.is); got != c.want {
			t.Errorf("it says %q, not %q", got, c.want)
		}
	}
}
