package topology

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostileFiles are texts made to cost more than they weigh.
func hostileFiles() map[string]string {
	bomb := "name: t\na0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 30; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	merges := "name: t\ndefaults: {env: &m0 {A: b}}\nnodes:\n"
	for i := 1; i < 60; i++ {
		merges += fmt.Sprintf("  n%d: {env: &m%d {<<: [*m%d, *m%d, *m%d], X%d: y}}\n", i, i, i-1, i-1, i-1, i)
	}
	var env, nodes strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&env, "    K%d: v\n", i)
		fmt.Fprintf(&nodes, "  n%d: {env: {A: b}}\n", i)
	}
	var routes, ifaces, shared strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&routes, "      - {to: 10.%d.%d.%d/32, dev: e1}\n", i>>16, i>>8&255, i&255)
		fmt.Fprintf(&ifaces, "  - endpoints: ['a:e%d', 'b:e%d']\n", i, i)
		fmt.Fprintf(&shared, "  n%d: {env: *e}\n", i)
	}
	repeat := func(s string) string { return strings.Repeat(s, (maxFile-100)/len(s)) }
	// What follows is within all limits, or nearly.
	items := func(s string, each int) string { return strings.Repeat(s, (maxItems-10)/each) }
	return map[string]string{
		"full list":            items("-\n", 1),
		"full map":             items("a:\n", 2),
		"full explicit keys":   items("? a\n", 2),
		"full pairs":           "[" + strings.Repeat(strings.Repeat(":,", 15000)+"\n", maxFlow/30000) + "]",
		"full spaced pairs":    "[" + strings.Repeat(strings.Repeat(": ,", 15000)+"\n", maxFlow/15000) + "]",
		"full flow items":      "[" + strings.Repeat(strings.Repeat("a,", 30000)+"\n", maxFlow/30000) + "]",
		"full flow lists":      "[" + strings.Repeat(strings.Repeat("[[]],", 6000)+"\n", maxFlow/18000) + "]",
		"full lists":           items("- []\n", 2),
		"full anchors":         items("- &a b\n", 1),
		"full comments":        items("- a #b\n#c\n", 7),
		"too many nodes":       "name: t\nnodes:\n" + count("  n%d:\n", maxItems/2-10),
		"too many bridges":     "name: t\nbridges:\n" + count("  l%d: {}\n", maxItems/3-10),
		"full deep flow lists": "[" + strings.Repeat(strings.Repeat(strings.Repeat("[", 50)+strings.Repeat("]", 50)+",", 50)+"\n", maxFlow/2550) + "]",
		"full of nodes":        "name: t\nnodes:\n" + count("  n%d:\n", maxNodes),
		"full of links":        "name: t\nnodes: {a: , b: }\nlinks:\n" + count("- endpoints:\n  - a:e%d\n  - b:e%d\n", maxLinks),
		"full of bridges":      "name: t\nbridges:\n" + count("  l%d:\n", maxBridges),
		"full of strangers":    "name: t\nnodes:\n" + count("  n%d:\n", 4000) + "links:\n" + count("- endpoints: ['m%d:e', 'm%d:f']\n", maxLinks),
		"200 KB of [":          strings.Repeat("[", 200<<10),
		"200 KB of {":          strings.Repeat("{", 200<<10),
		"4 MiB of [":           repeat("["),
		"4 MiB of [, lines":    repeat("[\n"),
		"4 MiB of - ":          repeat("- "),
		"4 MiB of quotes":      repeat(`"`),
		"4 MiB of 'x' ":        repeat("'x' "),
		"short items":          "[" + repeat("a,"),
		"short lines":          "[" + repeat("\na,"),
		"empty pairs":          "[" + repeat(":,"),
		"empty pairs, lines":   "[" + repeat("\n:,"),
		"question marks":       "[" + repeat("?,"),
		"empty lists":          "[" + repeat("[],"),
		"list":                 repeat("-\n"),
		"map":                  repeat("a:\n"),
		"explicit keys":        repeat("? a\n"),
		"comments":             repeat("#\n"),
		"long comment":         "# " + repeat("x"),
		"comments of items":    repeat("- a #b\n#c\n"),
		"anchors":              repeat("&a "),
		"anchors of items":     repeat("- &a b\n"),
		"tags":                 repeat("- !!a b\n"),
		"documents":            repeat("---\n"),
		"directives":           repeat("%TAG !a! b\n"),
		"long text":            repeat("a"),
		"long block":           "|\n" + repeat(" a\n"),
		"escapes":              `"` + repeat(`\n`),
		"blank":                repeat(" "),
		"tabs":                 repeat("\t"),
		"line ends":            repeat("\r"),
		"too long":             strings.Repeat("#", maxFile+1),
		"unknown keys":         "name: t\nnodes:\n" + repeatf("  n%d: {x: y}\n"),
		"unknown nodes":        "name: t\nnodes:\n" + halff("  n%d: \n") + "links:\n" + halff("- endpoints: ['m%d:e', x]\n"),
		"many nodes":           "name: t\nnodes:\n" + repeatf("  n%d: \n"),
		"many links":           "name: t\nnodes: {a: }\nbridges: {l: }\nlinks:\n" + repeatf("- endpoints: ['a:e%d', l]\n"),
		"many bridges":         "name: t\nbridges:\n" + repeatf("  l%d: {subnet: 'fd00::/64'}\n"),
		"bomb":                 bomb,
		"merge bomb":           merges,
		"merge of itself":      "name: t\nnodes: {a: {env: &a {<<: [*a, *a, *a]}}}\n",
		"alias to itself":      "name: t\nlinks: &a [*a, *a]\n",
		"defaults":             "name: t\ndefaults:\n  env:\n" + env.String() + "nodes:\n" + nodes.String(),
		"one env for all":      "name: t\ndefaults:\n  env: &e\n" + env.String() + "nodes:\n" + shared.String(),
		"expressions":          "name: t\nnodes:\n" + count("  a%d:\n    ready:\n      log: "+strings.Repeat("x(y(zw){10}){100}", 50)+"%d\n", 1400),
		"repeated expressions": "name: t\nnodes:\n" + count("  a%d:\n    ready:\n      log: "+strings.Repeat("(x{1000})", 100)+"%d\n", 1400),
		"many expressions":     "name: t\nnodes:\n" + count("  a%d:\n    ready:\n      log: "+strings.Repeat("(x{90})", 10)+"%d\n", 15000),
		"routes by links":      "name: t\nnodes:\n  b:\n  a:\n    routes:\n" + routes.String() + "links:\n" + ifaces.String(),
	}
}

// count gives n lines, each %d in them being the line's number.
func count(line string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(line, "%d", fmt.Sprint(i)))
	}
	return b.String()
}

// repeatf fills a file with lines that have a number in them.
func repeatf(line string) string { return fill(line, maxFile-1000) }

// halff is half of that.
func halff(line string) string { return fill(line, maxFile/2-1000) }

func fill(line string, size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, line, i)
	}
	return b.String()
}

// hang is far more than any file takes, some seconds with the race detector on a busy machine.
const hang = 2 * time.Minute

// TestHostileFiles asserts that each ends with a verdict; BenchmarkHostile measures how fast.
func TestHostileFiles(t *testing.T) {
	for name, text := range hostileFiles() {
		t.Run(name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				_, err := Parse("lab.yaml", []byte(text), Options{})
				done <- err
			}()
			select {
			case err := <-done:
				if name == "full of nodes" || name == "full of links" || name == "full of bridges" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if err == nil {
					t.Error("was accepted")
				} else if len(err.Error()) > 1<<20 {
					t.Errorf("the verdict is %d bytes long", len(err.Error()))
				}
			case <-time.After(hang):
				t.Fatalf("no verdict after %v", hang)
			}
		})
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, text := range hostileFiles() {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			data := []byte(text)
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				_, _ = Parse("lab.yaml", data, Options{})
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/(1<<20), "MB")
		})
	}
}
