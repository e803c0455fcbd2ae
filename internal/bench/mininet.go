package main

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed mininet.py
var mininetProgram []byte

// mininet is Mininet with its LinuxBridge switch, as mn --switch lxbr makes it, but without the
// start of a controller, which a bridge does not need.
type mininet struct {
	dir string

	cmd *exec.Cmd // the star that is up
	in  io.WriteCloser
	out *bufio.Reader
}

func (c *mininet) up(ctx context.Context, n int) (time.Duration, error) {
	// Not mininet.py: python would import that in place of the package.
	path := filepath.Join(c.dir, "star.py")
	if err := os.WriteFile(path, mininetProgram, 0o600); err != nil {
		return 0, err
	}
	// Debian's python has Debian's mininet; another one in PATH has not.
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", path, fmt.Sprint(n))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	c.cmd, c.in, c.out = cmd, in, bufio.NewReader(out)
	err = c.expect("up")
	return time.Since(start), err
}

func (c *mininet) expect(want string) error {
	line, err := c.out.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read from mininet: %w", err)
	}
	if got := strings.TrimSpace(line); got != want {
		return fmt.Errorf("mininet printed %q", got)
	}
	return nil
}

func (c *mininet) ping(_ context.Context, i int, to netip.Addr) error {
	if _, err := fmt.Fprintf(c.in, "h%d %s\n", i, to); err != nil {
		return fmt.Errorf("write to mininet: %w", err)
	}
	return c.expect("0")
}

func (c *mininet) down(context.Context, int) (time.Duration, error) {
	start := time.Now()
	if err := c.in.Close(); err != nil {
		return 0, fmt.Errorf("write to mininet: %w", err)
	}
	err := c.cmd.Wait()
	return time.Since(start), err
}
