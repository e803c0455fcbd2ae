package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// anyFile is a random topology of few names, so that the next one has many of the same things in other places: an interface on another
// bridge, or at the other end of another node.
func anyFile(rnd *rand.Rand) string {
	chance := func(percent int) bool { return rnd.IntN(100) < percent }
	var b strings.Builder
	b.WriteString("name: NAME\n")
	var bridges, nodes []string
	for i, name := range []string{"lan0", "lan1", "a.eth0"} {
		if !chance(70) {
			continue
		}
		if bridges = append(bridges, name); len(bridges) == 1 {
			b.WriteString("bridges:\n")
		}
		fmt.Fprintf(&b, "  %s: {stp: %v, mtu: %d", name, chance(15), []int{1500, 1500, 1400}[rnd.IntN(3)])
		six := ""
		switch hosted := chance(40); {
		case hosted && chance(30):
			six = fmt.Sprintf(", \"fd00:5:%d::1/64\"", i)
			fallthrough
		case hosted:
			fmt.Fprintf(&b, ", address: [10.5.%d.1/24%s], nat: %v", i, six, chance(50))
		case chance(30):
			six = fmt.Sprintf(", \"fd00:5:%d::/64\"", i)
			fallthrough
		default:
			fmt.Fprintf(&b, ", subnet: [10.5.%d.0/24%s]", i, six)
		}
		b.WriteString("}\n")
	}
	b.WriteString("nodes:\n")
	for _, name := range []string{"a", "b", "c", "d"} {
		if len(nodes) > 0 && !chance(75) {
			continue
		}
		nodes = append(nodes, name)
		var keys []string
		add := func(percent int, key string) {
			if chance(percent) {
				keys = append(keys, key)
			}
		}
		add(30, fmt.Sprintf("sysctls: {net.ipv4.ip_forward: %d}", rnd.IntN(2)))
		add(30, fmt.Sprintf("dns: {nameservers: [192.0.2.%d]}", 1+rnd.IntN(2)))
		add(30, fmt.Sprintf("hosts: [\"192.0.2.%d outside\"]", 1+rnd.IntN(2)))
		add(30, fmt.Sprintf("limits: {pids: %d}", 100+rnd.IntN(2)))
		add(30, fmt.Sprintf("command: [sleep, \"10000%d\"]", rnd.IntN(2)))
		add(20, fmt.Sprintf("env: {X: \"%d\"}", rnd.IntN(2)))
		fmt.Fprintf(&b, "  %s: {%s}\n", name, strings.Join(keys, ", "))
	}
	type end struct{ node, name string }
	var ends []end
	for _, n := range nodes {
		for _, i := range []string{"eth0", "eth1", "p.q"} {
			ends = append(ends, end{n, i})
		}
	}
	rnd.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] })
	var links []string
	for i := 0; len(ends) > 2 && i < 6; i++ {
		a := ends[0]
		ends = ends[1:]
		var link string
		if at := rnd.IntN(4); at < len(bridges) {
			link = fmt.Sprintf("{endpoints: [\"%s:%s\", %q]", a.node, a.name, bridges[at])
		} else {
			z := ends[0]
			ends = ends[1:]
			link = fmt.Sprintf("{endpoints: [\"%s:%s\", \"%s:%s\"]", a.node, a.name, z.node, z.name)
			switch rnd.IntN(3) {
			case 0:
				link += fmt.Sprintf(", addresses: [10.6.%d.1/32, 10.6.%d.2/32]", i, i)
			case 1:
				link += fmt.Sprintf(", addresses: [10.6.%d.1/24, \"10.6.%d.2/24\"]", i, i)
			}
		}
		if chance(20) {
			link += ", mtu: 1300"
		}
		links = append(links, "  - "+link+"}\n")
	}
	if len(links) > 0 {
		b.WriteString("links:\n" + strings.Join(links, ""))
	}
	return b.String()
}

// Whatever a lab was before, up makes it what it would be if it were made from the file, with the kernel as it is: property P2.
func TestRandomEdits(t *testing.T) {
	t.Parallel()
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				rnd := random(t)
				times := 4
				if os.Getenv("NSNET_FAULTS") == "full" {
					times = 100
				}
				r := start(t, anyFile(rnd))
				last := "the first"
				for i := range times {
					text := strings.ReplaceAll(anyFile(rnd), "NAME", r.name)
					writeFile(t, r.file, text)
					testenv.Must(t, "up", r.file)
					plans(t, r.file, 0)
					changed := r.picture()
					testenv.Must(t, "down", r.name)
					testenv.Must(t, "up", r.file)
					if fresh := r.picture(); fresh != changed {
						t.Fatalf("change %d, - made anew, + changed:\n%s\nfrom\n%s\nto\n%s", i, diff(fresh, changed), last, text)
					}
					last = text
				}
			})
		})
	}
}
