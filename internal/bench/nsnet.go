package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"
)

// nsnet is the competitor in whose repository this is.
type nsnet struct {
	binary, dir string
	name        string // of its lab; empty: labName
}

func (c *nsnet) lab() string { return cmp.Or(c.name, labName()) }

func (c *nsnet) up(ctx context.Context, n int) (time.Duration, error) {
	file, err := writeStar(c.dir, n)
	if err != nil {
		return 0, err
	}
	return timed(ctx, c.binary, "up", file, "--name", c.lab())
}

func (c *nsnet) ping(ctx context.Context, i int, to netip.Addr) error {
	_, err := output(ctx, c.exec(i, "ping", "-n", "-c", "1", "-W", "2", to.String())...)
	return err
}

// exec is the command line that runs a command in node i of the star.
func (c *nsnet) exec(i int, command ...string) []string {
	return append([]string{c.binary, "exec", fmt.Sprintf("%s/n%d", c.lab(), i), "--"}, command...)
}

func (c *nsnet) down(ctx context.Context, _ int) (time.Duration, error) {
	return timed(ctx, c.binary, "down", c.lab())
}
