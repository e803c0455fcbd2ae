package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// measureChanges is the part that brings a star up once and then changes it while it runs: nothing, one link, one
// node, and back. Of each the whole command counts, with the look at the whole lab that is a part of it.
func measureChanges(ctx context.Context, o options, dir string) (table, error) {
	n := o.sizes[len(o.sizes)-1]
	t := table{
		title: fmt.Sprintf("Changing a running star of %d nodes: medians of %s", n, plural(o.runs, "run")),
		head:  []string{"", "time", "of the first up"},
	}
	if o.nsnet == "" {
		return t, nil
	}
	plain := star(n, "host")
	link := plain + "  - {endpoints: [\"n1:p0\", \"n2:p0\"], addresses: [10.99.0.1/32, 10.99.0.2/32]}\n"
	node := strings.Replace(plain, "links:\n", "  more: {}\nlinks:\n  - {endpoints: [\"more:eth0\", \"lan0\"], address: 10.0.255.1/16}\n", 1)
	const first = "first up"
	steps := []struct{ name, text string }{
		{"up of the same file", plain}, {"add a link", link}, {"remove it", plain}, {"add a node", node}, {"remove it again", plain},
	}
	times := map[string][]time.Duration{}
	path := filepath.Join(dir, "changes.yaml")
	up := func(name, text string) error {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		d, err := timed(ctx, o.nsnet, "up", path)
		times[name] = append(times[name], d)
		return err
	}
	for range o.runs {
		if err := up(first, plain); err != nil {
			return t, err
		}
		for _, s := range steps {
			if err := up(s.name, s.text); err != nil {
				return t, err
			}
		}
		d, err := timed(ctx, o.nsnet, "plan", path)
		times["plan"] = append(times["plan"], d)
		if err != nil {
			return t, err
		}
		if _, err := timed(ctx, o.nsnet, "down", labName()); err != nil {
			return t, err
		}
	}
	base := median(times[first])
	row := func(name string) {
		d := median(times[name])
		t.rows = append(t.rows, []string{name, millis(d), fmt.Sprintf("%.1f %%", 100*float64(d)/float64(base))})
	}
	row(first)
	row("plan")
	for _, s := range steps {
		row(s.name)
	}
	added := median(times["add a link"]) - median(times["up of the same file"])
	t.rows = append(t.rows, []string{"a link more, without the look at the lab", millis(added), fmt.Sprintf("%.1f %%", 100*float64(added)/float64(base))})
	return t, nil
}
