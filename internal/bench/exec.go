package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// execRuns is how often each of the two is run.
const execRuns = 50

// measureExec is the part that starts /bin/true in a node, and in a namespace without one.
func measureExec(ctx context.Context, o options, dir string) (t table, err error) {
	const netns = "bench-exec"
	if _, err := output(ctx, "ip", "netns", "add", netns); err != nil {
		return table{}, err
	}
	defer func() {
		_, delErr := output(context.WithoutCancel(ctx), "ip", "netns", "del", netns)
		err = errors.Join(err, delErr)
	}()
	commands := map[string][]string{"ip netns exec": {"ip", "netns", "exec", netns, "/bin/true"}}
	if o.nsnet != "" {
		c := &nsnet{binary: o.nsnet, dir: dir}
		if _, err := c.up(ctx, 10); err != nil {
			return table{}, err
		}
		defer func() {
			_, downErr := c.down(context.WithoutCancel(ctx), 10)
			err = errors.Join(err, downErr)
		}()
		commands["nsnet exec"] = []string{o.nsnet, "exec", labName() + "/n1", "--", "/bin/true"}
	}
	took := map[string][]time.Duration{}
	for range execRuns {
		for name, argv := range commands {
			d, err := timed(ctx, argv...)
			if err != nil {
				return table{}, err
			}
			took[name] = append(took[name], d)
		}
	}
	base := median(took["ip netns exec"])
	t = table{
		title: fmt.Sprintf("/bin/true in a node: medians of %s", plural(execRuns, "run")),
		head:  []string{"", "time", "/ ip netns exec"},
	}
	for _, name := range []string{"nsnet exec", "ip netns exec"} {
		if d := took[name]; len(d) > 0 {
			t.rows = append(t.rows, []string{name, millis(median(d)), ratio(median(d), base)})
		}
	}
	return t, nil
}
