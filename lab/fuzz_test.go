package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/topology"
)

// Whatever is in a record, what is removed from the host by it is a lab's own.
func FuzzRecord(f *testing.F) {
	seeds, err := filepath.Glob("testdata/state-*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("%d seeds: %v", len(seeds), err)
	}
	for _, seed := range seeds {
		b, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"schema":1,"name":"demo"}`, `{"schema":1,"name":"demo","id_base":4294967295,"ids":4294901760}`,
		`{"schema":1,"name":"demo","id_base":1879113728,"ids":4390912,"powers":1879048192}`, `{"schema":1,"name":"demo","id_base":1879113728,"ids":4390912,"powers":1879113720}`,
		`{"schema":1,"name":"demo","netns":["demo.../x"],"links":["lo"],"dns":["../x"]}`,
		`{"schema":1,"name":"demo","routed":["../../../kernel/x"]}`,
		`{"schema":1,"name":"demo","sysctls":[{"path":"../../tmp/x","old":"0"}],"work":[{"parent":"/","layer":".."}]}`,
		`{"schema":1,"name":"demo","rules":[{"program":"/bin/sh","spec":["-c"]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord("/run/nsnet/demo", b)
		if err != nil {
			return
		}
		outside := func(s string) bool { return strings.Contains(s, "/") || s == "." || s == ".." || s == "" }
		for _, n := range slices.Concat([]string{r.Name}, r.Netns, r.DNS, r.Links, r.Routed) {
			if outside(n) {
				t.Errorf("it names %q", n)
			}
		}
		for _, s := range r.Sysctls {
			if p := filepath.Join("/proc/sys", s.Path); !strings.HasPrefix(p, "/proc/sys/net/ipv") {
				t.Errorf("it sets %s", p)
			}
		}
		for _, rule := range r.Rules {
			if strings.Contains(rule.Program, "/") || len(rule.Spec) == 0 {
				t.Errorf("it starts %q with %q", rule.Program, rule.Spec)
			}
		}
		for _, w := range r.Work {
			if filepath.Dir(w.path()) != filepath.Clean(w.Parent) {
				t.Errorf("it removes %s, which is not in %s", w.path(), w.Parent)
			}
		}
		if r.IDs != 0 && (r.Base < firstID || uint64(r.Base)+uint64(r.IDs) > lastID) {
			t.Errorf("it has ids %d and %d more", r.Base, r.IDs)
		}
		if p := r.ids().power(); r.IDs != 0 && r.Powers != 0 && (p.from < firstID || p.to > firstNodeID || p.to <= p.from || r.Base < firstNodeID) {
			t.Errorf("it has ids with power from %d to %d, and its nodes' begin at %d", p.from, p.to, r.Base)
		}
	})
}

// What a lab was told to be is read back from a file, which may be damaged: never a panic, and no node with a name that leads out.
func FuzzTopology(f *testing.F) {
	examples, err := filepath.Glob("../examples/topologies/*.yaml")
	if err != nil || len(examples) == 0 {
		f.Fatalf("%d examples: %v", len(examples), err)
	}
	for _, name := range examples {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		l, err := topology.Parse(name, text, topology.Options{})
		if err != nil {
			f.Fatal(err)
		}
		l.Name = "demo"
		b, err := json.Marshal(l)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, seed := range []string{
		`{"name":"demo","nodes":[{"name":"a"}]}`, `{"name":"demo","nodes":[{"name":"../a"}]}`, `{"name":"demo","links":[{}],"bridges":[{}]}`, `{`, ``, `{"name":"demo","nodes":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeLab("/run/nsnet/demo", b)
		if err != nil {
			return
		}
		for i := range l.Nodes {
			if !filepath.IsLocal(l.Nodes[i].Name) || strings.Contains(l.Nodes[i].Name, "/") {
				t.Errorf("it has a node %q", l.Nodes[i].Name)
			}
		}
		_ = namespaceNames(l)
		_ = nodeNames(l)
	})
}

// What the kernel tells in /proc holds names that anybody may give.
func FuzzProc(f *testing.F) {
	for _, seed := range []string{
		"lock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF\n", "NSpid:\t359\t1\n",
		"Inter-|   Receive\n eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "NSpid:", "lock:\n", ":::", "",
		// As the kernel says them: of a lab's init, its lock, and interfaces.
		"Name:\tnsnet-lab\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t68\nNgid:\t0\nPid:\t68\nPPid:\t1\nTracerPid:\t0\nUid:\t1879048192\t1879048192\t1879048192\t1879048192\n" +
			"FDSize:\t256\nGroups:\t \nNStgid:\t68\t1\nNSpid:\t68\t1\nNSpgid:\t68\t1\nNSsid:\t68\t1\nKthread:\t0\nThreads:\t8\n",
		"Name:\tNSpid:\\t1\nNSpid:\t4242\n",
		"pos:\t0\nflags:\t02100002\nmnt_id:\t236\nino:\t11\nlock:\t1: FLOCK  ADVISORY  WRITE 68 00:1a:11 0 EOF\n",
		"pos:\t0\nflags:\t02100002\nmnt_id:\t236\nino:\t11\nlock:\t1: POSIX  ADVISORY  READ 68 00:1a:11 0 99\nlock:\t2: FLOCK  ADVISORY  READ 68 00:1a:11 0 EOF\n",
		"Inter-|   Receive                                                |  Transmit\n" +
			" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
			"    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n" +
			"ns60dc9a25de:     324       4    0    0    0     0          0         0      360       4    0    0    0     0       0          0\n" +
			"eth0.10:18446744073709551615 4 0 0 0 0 0 0 360 4 0 0 0 0 0 0\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = lockedAlone(b)
		_ = firstOfNamespace(b)
		if all, err := parseDev(string(b)); err == nil && len(all) > len(b) {
			t.Errorf("%d interfaces in %d bytes", len(all), len(b))
		}
	})
}
