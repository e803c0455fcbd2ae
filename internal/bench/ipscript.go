package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ipScript is what one writes by hand: a shell script of ip commands, one by one, that
// makes a namespace, a link and an address per node, and no container.
type ipScript struct {
	dir string
}

func (c *ipScript) up(ctx context.Context, n int) (time.Duration, error) {
	return c.run(ctx, "up.sh", upScript(n))
}

func (c *ipScript) ping(ctx context.Context, i int, to netip.Addr) error {
	_, err := output(ctx, "ip", "netns", "exec", fmt.Sprintf("n%d", i), "ping", "-n", "-c", "1", "-W", "2", to.String())
	return err
}

func (c *ipScript) down(ctx context.Context, n int) (time.Duration, error) {
	return c.run(ctx, "down.sh", downScript(n))
}

func (c *ipScript) run(ctx context.Context, name, script string) (time.Duration, error) {
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		return 0, err
	}
	return timed(ctx, "sh", path)
}

func upScript(n int) string {
	var b strings.Builder
	b.WriteString("set -e\nip link add br0 type bridge\nip link set br0 up\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `ip netns add n%[1]d
ip link add v%[1]d type veth peer name eth0 netns n%[1]d
ip link set v%[1]d master br0 up
ip -n n%[1]d addr add %[2]s/16 dev eth0
ip -n n%[1]d link set lo up
ip -n n%[1]d link set eth0 up
`, i, address(i))
	}
	return b.String()
}

// downScript waits for the last link: the kernel destroys namespaces in its own time.
func downScript(n int) string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "ip netns del n%d\n", i)
	}
	b.WriteString("ip link del br0\nwhile ip -o link show type veth | grep -q .; do sleep 0.005; done\n")
	return b.String()
}
