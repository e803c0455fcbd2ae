package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
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

// harm does to a lab by hand what does not add to it, and tells what it did.
func (r run) harm(rnd *rand.Rand) string {
	r.t.Helper()
	status := r.status()
	at := rnd.IntN(len(status.Nodes) + 2)
	args, place := []string{"ip"}, ""
	switch {
	case at < len(status.Nodes):
		place = r.name + "." + status.Nodes[at].Name
		args = append(args, "-n", place)
	case at == len(status.Nodes):
		place = r.name
		args = append(args, "-n", place)
	}
	if _, err := os.Lstat("/run/netns/" + place); err != nil {
		return "nothing" // its name was removed
	}
	out, err := exec.Command(args[0], append(args[1:], "-o", "link")...).Output()
	if err != nil {
		r.t.Fatalf("%v: %v", args, err)
	}
	var links []string
	for _, m := range regexp.MustCompile(`(?m)^\d+: ([^:@]+)[@:]`).FindAllStringSubmatch(string(out), -1) {
		if place != "" || strings.HasPrefix(m[1], "ns") { // of the host's none but the lab's
			links = append(links, m[1])
		}
	}
	if len(links) == 0 {
		return "nothing"
	}
	link := links[rnd.IntN(len(links))]
	ip := strings.Join(args, " ")
	var script string
	switch n := rnd.IntN(11); {
	case n == 0 && link != "lo":
		script = ip + " link del " + link
	case n == 1:
		script = ip + " link set " + link + " down"
	case n == 2 && link != "lo":
		script = ip + " link set " + link + " mtu 1290"
	case n == 3 && place == r.name:
		script = ip + " link set " + link + " nomaster"
	case n == 4 && place == "": // its link-local address is the host's affair
		script = ip + " address flush scope global dev " + link
	case n == 4:
		script = ip + " address flush dev " + link
	case n == 5 && place != "":
		script = ip + " route flush table main; " + ip + " -6 route flush table main"
	case n == 6 && link != "lo" && place != "" && place != r.name: // a bridge of another name is another bridge
		script = fmt.Sprintf("%[1]s link set %[2]s down; %[1]s link set %[2]s name x%d; %[1]s link set x%[3]d up", ip, link, rnd.IntN(1000))
	case n == 7 && link != "lo" && at < len(status.Nodes):
		script = ip + " link set " + link + " address 02:00:00:00:00:77"
	case n == 8 && at < len(status.Nodes):
		script = fmt.Sprintf("kill -9 %d", status.Nodes[at].PID)
	case n == 9 && place != "":
		script = "rm -f /run/netns/" + place
	case n == 10 && len(links) > 1 && at < len(status.Nodes):
		script = fmt.Sprintf("%[1]s link set %[2]s down; %[1]s link set %[2]s name y; %[1]s link set %[3]s down; %[1]s link set %[3]s name %[2]s; %[1]s link set y name %[3]s", ip, links[0], links[1])
		if links[0] == "lo" {
			return "nothing"
		}
	default:
		return "nothing"
	}
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Sprintf("%s: %v: %s", script, err, out) // what was done before may be in the way
	}
	if strings.HasPrefix(script, "kill") {
		testenv.Eventually(r.t, 5*time.Second, "the lab knows of the end of a node's init", func() bool {
			return r.node(status.Nodes[at].Name).State == lab.StateDead
		})
	}
	return script
}

// Whatever a lab was before, and whatever was done to it, up makes it what it would be if it were made from the file, with the kernel
// as it is: property P2.
func TestRandomEdits(t *testing.T) {
	t.Parallel()
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				rnd := testenv.Random(t)
				times := 4
				if os.Getenv("NSNET_FAULTS") == "full" {
					times = 100
				}
				r := start(t, anyFile(rnd))
				last := "the first"
				for i := range times {
					var harms []string
					for range rnd.IntN(4) {
						harms = append(harms, r.harm(rnd))
					}
					text := strings.ReplaceAll(anyFile(rnd), "NAME", r.name)
					writeFile(t, r.file, text)
					if res := testenv.Run(t, "up", r.file); res.Code != 0 {
						t.Fatalf("change %d: exit code %d: %s\nfrom\n%s\nwith %q\nto\n%s", i, res.Code, res.Stderr, last, harms, text)
					}
					if res := testenv.Run(t, "plan", r.file); res.Code != 0 {
						t.Fatalf("change %d is not done: %s\nfrom\n%s\nwith %q\nto\n%s", i, res.Stdout, last, harms, text)
					}
					changed := r.picture()
					testenv.Must(t, "down", r.name)
					testenv.Must(t, "up", r.file)
					if fresh := r.picture(); fresh != changed {
						t.Fatalf("change %d, - made anew, + changed:\n%s\nfrom\n%s\nwith %q\nto\n%s", i, diff(fresh, changed), last, harms, text)
					}
					last = text
				}
			})
		})
	}
}
