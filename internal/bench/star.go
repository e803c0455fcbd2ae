package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// maxNodes is how many ports a Linux bridge has.
const maxNodes = 1023

// labName is the lab that nsnet is measured with. Only control groups of that name are the
// machine's; two benchmarks at a time would not give numbers anyway.
func labName() string { return "nsnet-bench" }

// address is that of node i of a star, counted from 1: the i-th of 10.0.0.0/16, as Mininet does it.
func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
}

// writeStar writes the topology file of n idle nodes on one bridge.
func writeStar(dir string, n int) (string, error) {
	path := filepath.Join(dir, fmt.Sprintf("star%d.yaml", n))
	if err := os.WriteFile(path, []byte(star(n, "host")), 0o600); err != nil {
		return "", err
	}
	return path, nil
}

// star is n idle nodes of this image.
func star(n int, image string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\nbridges:\n  lan0: {subnet: 10.0.0.0/16}\nnodes:\n", labName())
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "  n%d: {image: %q}\n", i, image)
	}
	b.WriteString("links:\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "  - {endpoints: [\"n%d:eth0\", \"lan0\"], address: %s/16}\n", i, address(i))
	}
	return b.String()
}
