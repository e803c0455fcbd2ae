package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// execRuns is how often each of the contenders is run.
const execRuns = 301

// smallest is the size of the smaller of the two labs in which commands are run.
const smallest = 2

// measureExec is the part that starts /bin/true in a node of a small lab and of a large one, and in a namespace without
// any of it. It is the same work in both labs; the title says how many times as long it takes in the larger.
func measureExec(ctx context.Context, o options, dir string) (t table, err error) {
	const netns = "bench-exec"
	if _, err := output(ctx, "ip", "netns", "add", netns); err != nil {
		return table{}, err
	}
	defer func() {
		_, delErr := output(context.WithoutCancel(ctx), "ip", "netns", "del", netns)
		err = errors.Join(err, delErr)
	}()
	all := []contender{{"ip netns exec", []string{"ip", "netns", "exec", netns, "/bin/true"}}}
	largest := o.sizes[len(o.sizes)-1]
	if o.nsnet != "" {
		for _, n := range []int{smallest, largest} {
			c := &nsnet{binary: o.nsnet, dir: dir, name: fmt.Sprintf("%s-%d", labName(), n)}
			if _, err := c.up(ctx, n); err != nil {
				return table{}, err
			}
			defer func() {
				_, downErr := c.down(context.WithoutCancel(ctx), n)
				err = errors.Join(err, downErr)
			}()
			all = append(all, contender{fmt.Sprintf("nsnet exec, lab of %d", n), c.exec(n, "/bin/true")})
		}
	}
	took, err := inTurn(ctx, execRuns, all)
	if err != nil {
		return table{}, err
	}
	t = table{
		title: fmt.Sprintf("/bin/true in a node: medians of %s", plural(execRuns, "run")),
		head:  []string{"", "time", "/ ip netns exec"},
	}
	for i, c := range all {
		t.rows = append(t.rows, []string{c.name, millis(took[i]), ratio(took[i], took[0])})
	}
	if len(all) == 3 {
		t.title += fmt.Sprintf("; in the larger lab %s times as long", ratio(took[2], took[1]))
	}
	return t, nil
}

// contender is a command that is run many times.
type contender struct {
	name string
	argv []string
}

// inTurn runs contenders in turn, each of them first as often as the others, and returns the medians.
func inTurn(ctx context.Context, runs int, all []contender) ([]time.Duration, error) {
	took := make([][]time.Duration, len(all))
	for run := range runs {
		for k := range all {
			i := (run + k) % len(all)
			d, err := spent(ctx, all[i].argv)
			if err != nil {
				return nil, err
			}
			took[i] = append(took[i], d)
		}
	}
	medians := make([]time.Duration, len(all))
	for i := range all {
		medians[i] = median(took[i])
	}
	return medians, nil
}

// spent runs a command with nothing for its streams, and returns how long it took: to read what it prints would take longer than the
// shortest commands do.
func spent(ctx context.Context, argv []string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		if _, err := output(ctx, argv...); err != nil { // says why
			return 0, err
		}
		return 0, fmt.Errorf("run %q: %w", argv, err)
	}
	return took, nil
}
