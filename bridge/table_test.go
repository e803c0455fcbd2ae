package bridge

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables/expr"
	"pgregory.net/rapid"
)

// testConfig has the two nodes' own addresses, as a lab's file says them.
func testConfig() Config {
	leg := func(name string, nets ...netip.Prefix) Leg {
		l := Leg{Interface: name}
		for _, n := range nets {
			l.Addresses = append(l.Addresses, netip.PrefixFrom(n.Addr().Next(), n.Bits()))
		}
		return l
	}
	c := Config{Lab: testLab, Legs: []Leg{leg(leg1, node1Net4, node1Net6), leg(leg2, node2Net4, node2Net6)}}
	c.Legs[0].NAT = true
	for _, n := range []netip.Prefix{node1Net4, node1Net6, node2Net4, node2Net6} {
		c.Addresses = append(c.Addresses, n.Addr().Next().Next())
		c.Subnets = append(c.Subnets, n)
	}
	return c
}

// newTestTable translates for the first node, and not for the second.
func newTestTable(t *testing.T) *Table {
	t.Helper()
	table, err := NewTable(testConfig())
	must(t, err)
	t.Cleanup(func() { _ = table.Close() })
	return table
}

func TestNAT(t *testing.T) {
	w := newWorld(t)
	w.forward()
	if w.ping(w.node1, outNet4) || w.ping(w.node1, outNet6) {
		t.Fatal("the outside can answer a node without translation")
	}
	newTestTable(t)
	for _, c := range []struct{ out, lab1, lab2 netip.Prefix }{
		{outNet4, node1Net4, node2Net4},
		{outNet6, node1Net6, node2Net6},
	} {
		if !w.reaches(w.node1, c.out) {
			t.Errorf("no answer from %v", c.out)
		}
		if w.ping(w.node2, c.out) {
			t.Errorf("a bridge without nat is translated to %v", c.out)
		}
		host := c.out.Addr().Next()
		if got := w.seenFrom(w.node1, w.outerN, c.out); got != host {
			t.Errorf("the outside sees %v, want the host's %v", got, host)
		}
		own := c.lab1.Addr().Next().Next()
		if got := w.seenFrom(w.node1, w.node2, c.lab2); got != own {
			t.Errorf("the lab's other bridge sees %v, want the node's %v", got, own)
		}
		if got := w.seenFrom(w.host, w.outerN, c.out); got != host {
			t.Errorf("the host itself is seen as %v", got)
		}
	}
}

func TestTableDiesWithItsLastHolder(t *testing.T) {
	newWorld(t)
	table := newTestTable(t)
	if _, err := NewTable(Config{Lab: testLab}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second table of the lab: %v", err)
	}
	other, err := NewTable(Config{Lab: "other"})
	must(t, err)
	defer other.Close()

	holder := exec.Command("sleep", "1000")
	holder.ExtraFiles = []*os.File{table.File()}
	must(t, holder.Start())
	defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
	must(t, table.Close())
	time.Sleep(20 * time.Millisecond)
	if !hasTable(TableName(testLab)) {
		t.Fatal("the table went while a process held it")
	}
	must(t, holder.Process.Kill())
	_ = holder.Wait()
	if hasTable(TableName(testLab)) {
		t.Error("the table outlives its last holder")
	}
	if !hasTable(TableName("other")) {
		t.Error("another lab's table went along")
	}
	again, err := NewTable(Config{Lab: testLab})
	must(t, err)
	must(t, again.Close())
}

func TestTableIsNobodyElses(t *testing.T) {
	w := newWorld(t)
	newTestTable(t)
	w.run("nft", "flush", "ruleset")
	if out := w.run("nft", "list", "ruleset"); !strings.Contains(out, TableName(testLab)) || !strings.Contains(out, mark(testLab)) {
		t.Errorf("after a flush there is: %s", out)
	}
}

func TestFailedTableLeavesNothing(t *testing.T) {
	newWorld(t)
	_, err := NewTable(Config{Lab: testLab, Legs: []Leg{{Interface: strings.Repeat("x", 20)}}})
	if err == nil {
		t.Error("a name that is too long was accepted")
	}
	if hasTable(TableName(testLab)) {
		t.Error("the table is there")
	}
}

// TestFromSubnet holds the match against what a prefix contains, bit by bit.
func TestFromSubnet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{4, 16}).Draw(t, "bytes")
		draw := func(name string) netip.Addr {
			a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, name))
			return a
		}
		p := netip.PrefixFrom(draw("net"), rapid.IntRange(0, n*8).Draw(t, "bits"))
		a := draw("addr")
		if rapid.Bool().Draw(t, "near") { // most random addresses are outside
			b, m := p.Addr().AsSlice(), a.AsSlice()
			b[n-1] ^= m[0]
			a, _ = netip.AddrFromSlice(b)
		}
		exprs := fromSubnet(p)
		mask := exprs[3].(*expr.Bitwise).Mask
		got := a.AsSlice()
		for i := range got {
			got[i] &= mask[i]
		}
		if match := string(got) == string(exprs[4].(*expr.Cmp).Data); match != p.Contains(a) {
			t.Fatalf("%v in %v: %v", a, p, match)
		}
	})
}
