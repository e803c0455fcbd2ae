package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"
)

// competitor builds and removes stars.
type competitor interface {
	// up builds a star of n nodes and returns how long that took.
	up(ctx context.Context, n int) (time.Duration, error)
	// ping sends one echo request from node i of the star that is up.
	ping(ctx context.Context, i int, to netip.Addr) error
	// down removes the star of n nodes and returns how long that took.
	down(ctx context.Context, n int) (time.Duration, error)
}

// entry is a competitor as the table shows it.
type entry struct {
	name  string
	limit int // nodes; 0 is any number
	competitor
}

// measureStars is the part that brings stars up and down.
func measureStars(ctx context.Context, o options, dir string) (table, error) {
	entries := contenders(o, dir)
	t := table{
		title: "Star of idle nodes on one bridge: medians of " + plural(o.runs, "run"),
		head:  []string{"nodes", "", "up", "per node", "down", "up / nsnet", "down / nsnet"},
	}
	for _, n := range o.sizes {
		ups, downs, err := rounds(ctx, o, entries, n)
		if err != nil {
			return t, err
		}
		var base, baseDown time.Duration
		for i, e := range entries {
			if len(ups[i]) == 0 {
				continue
			}
			up, down := median(ups[i]), median(downs[i])
			if e.name == "nsnet" {
				base, baseDown = up, down
			}
			t.rows = append(t.rows, []string{
				fmt.Sprint(n), e.name, millis(up), millis(up / time.Duration(n)), millis(down), ratio(up, base), ratio(down, baseDown),
			})
		}
	}
	return t, nil
}

// contenders lists who takes part; those whose programs are missing are named on standard error.
func contenders(o options, dir string) []entry {
	var entries []entry
	if o.nsnet != "" {
		entries = append(entries, entry{name: "nsnet", competitor: &nsnet{binary: o.nsnet, dir: dir}})
	}
	if !o.peers {
		return entries
	}
	if have("mnexec") && have("brctl") {
		// Beyond some hundred hosts Mininet takes minutes.
		entries = append(entries, entry{name: "Mininet", limit: 100, competitor: &mininet{dir: dir}})
	} else {
		fmt.Fprintln(os.Stderr, "bench: Mininet or brctl is missing; scripts/setup-test.sh installs them")
	}
	return append(entries,
		entry{name: "ip script", competitor: &ipScript{dir: dir}},
		entry{name: "naive containers", competitor: &naive{dir: dir}})
}

// rounds lets the competitors take turns, and checks each star's connectivity in the first round.
func rounds(ctx context.Context, o options, entries []entry, n int) (ups, downs [][]time.Duration, err error) {
	ups, downs = make([][]time.Duration, len(entries)), make([][]time.Duration, len(entries))
	for round := range o.runs {
		for i, e := range entries {
			if e.limit > 0 && n > e.limit {
				continue
			}
			fmt.Fprintf(os.Stderr, "bench: %d nodes, round %d of %d: %s\n", n, round+1, o.runs, e.name)
			up, err := e.up(ctx, n)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: up %d nodes: %w", e.name, n, err)
			}
			if round == 0 {
				if err = checkPairs(ctx, e, n, o.pairs); err != nil && e.name != "nsnet" {
					// The host's table of neighbours is one for all namespaces and bounded; a star of
					// a thousand can fill it. That costs a competitor its packet, not its time.
					fmt.Fprintf(os.Stderr, "bench: %s: %v\n", e.name, err)
					err = nil
				}
			}
			down, downErr := e.down(ctx, n)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", e.name, err)
			}
			if downErr != nil {
				return nil, nil, fmt.Errorf("%s: down %d nodes: %w", e.name, n, downErr)
			}
			ups[i], downs[i] = append(ups[i], up), append(downs[i], down)
		}
	}
	return ups, downs, nil
}

// checkPairs pings between pairs of nodes: a star that is not wired would be up in no time.
func checkPairs(ctx context.Context, c competitor, n, pairs int) error {
	random := rand.New(rand.NewPCG(uint64(n), 1)) // the same pairs in every run
	for range pairs {
		from := 1 + random.IntN(n)
		to := 1 + (from+random.IntN(n-1))%n
		if err := c.ping(ctx, from, address(to)); err != nil {
			return fmt.Errorf("node %d does not reach node %d of %d: %w", from, to, n, err)
		}
	}
	return nil
}
