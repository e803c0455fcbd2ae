package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// nsnet is the competitor in whose repository this is.
type nsnet struct {
	binary, dir string
}

func (c *nsnet) up(ctx context.Context, n int) (time.Duration, error) {
	file, err := writeStar(c.dir, n)
	if err != nil {
		return 0, err
	}
	return timed(ctx, c.binary, "up", file)
}

func (c *nsnet) ping(ctx context.Context, i int, to netip.Addr) error {
	_, err := output(ctx, c.binary, "exec", fmt.Sprintf("%s/n%d", labName(), i), "--",
		"ping", "-n", "-c", "1", "-W", "2", to.String())
	return err
}

func (c *nsnet) down(ctx context.Context, _ int) (time.Duration, error) {
	return timed(ctx, c.binary, "down", labName())
}
