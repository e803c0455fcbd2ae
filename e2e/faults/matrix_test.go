package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// world is a random topology, and what the file says of who reaches whom.
type world struct {
	text  string
	at    map[string][]string // addresses of each segment
	nodes map[string][]string // segments of each node
}

// draw makes nodes on bridges and on links to each other, each of which is a segment with a subnet of its own.
func draw(rnd *rand.Rand) world {
	w := world{at: map[string][]string{}, nodes: map[string][]string{}}
	var b strings.Builder
	b.WriteString("name: NAME\nbridges:\n")
	bridges, nodes := 1+rnd.IntN(3), 2+rnd.IntN(5)
	for i := range bridges {
		fmt.Fprintf(&b, "  lan%d: {subnet: [10.5.%d.0/24, \"fd00:5:%d::/64\"]}\n", i, i, i)
	}
	b.WriteString("nodes:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  n%d: {}\n", i)
	}
	b.WriteString("links:\n")
	join := func(node int, segment string, addresses ...string) {
		name := fmt.Sprintf("n%d", node)
		w.nodes[name] = append(w.nodes[name], segment)
		w.at[segment] = append(w.at[segment], addresses...)
	}
	for i := range nodes {
		for k := range bridges {
			if rnd.IntN(2) == 0 {
				continue
			}
			four, six := fmt.Sprintf("10.5.%d.%d", k, i+1), fmt.Sprintf("fd00:5:%d::%d", k, i+1)
			fmt.Fprintf(&b, "  - {endpoints: [\"n%d:eth%d\", lan%d], addresses: [%s/24, \"%s/64\"]}\n", i, k, k, four, six)
			join(i, fmt.Sprintf("lan%d", k), four, six)
		}
	}
	for i := range nodes {
		for j := range i {
			if rnd.IntN(3) > 0 {
				continue
			}
			a, z := fmt.Sprintf("10.6.%d.%d", i, 2*j+1), fmt.Sprintf("10.6.%d.%d", i, 2*j+2)
			fmt.Fprintf(&b, "  - {endpoints: [\"n%d:p%d\", \"n%d:q%d\"], addresses: [%s/32, %s/32]}\n", i, j, j, i, a, z)
			segment := fmt.Sprintf("p%d.%d", i, j)
			join(i, segment, a)
			join(j, segment, z)
		}
	}
	w.text = strings.TrimSuffix(b.String(), "links:\n")
	return w
}

// Property P9: for random topologies, what answers a ping is what the file says, no less and no more.
func TestPingMatrix(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		rnd := testenv.Random(t)
		const labs = 5
		var r run
		for i := range labs {
			w := draw(rnd)
			if i == 0 {
				r = start(t, w.text)
			} else { // from one to the next while it runs
				writeFile(t, r.file, strings.ReplaceAll(w.text, "NAME", r.name))
				testenv.Must(t, "up", r.file)
			}
			reached, refused := 0, 0
			for node, segments := range w.nodes {
				want := map[string]bool{}
				var script strings.Builder
				for segment, addresses := range w.at {
					for _, a := range addresses {
						want[a] = want[a] || slices.Contains(segments, segment)
						fmt.Fprintf(&script, "(ping -n -q -c 1 -W 1 %s >/dev/null 2>&1 && echo %s) & ", a, a)
					}
				}
				got := map[string]bool{}
				for _, a := range strings.Fields(r.sh(node, script.String()+"wait")) {
					got[a] = true
				}
				for a, yes := range want {
					if got[a] != yes {
						t.Errorf("%s reaches %s: %v, and the file says %v\n%s", node, a, got[a], yes, w.text)
					}
					if yes {
						reached++
					} else {
						refused++
					}
				}
			}
			t.Logf("%d pairs answer, %d do not", reached, refused)
		}
	})
}
