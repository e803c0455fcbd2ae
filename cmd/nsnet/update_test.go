package main

import (
	"strings"
	"testing"

	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

func TestUpdateText(t *testing.T) {
	equal(t, "some", updateText(lab.UpdateResult{Name: "demo", Node: "web", Limits: topology.Limits{CPU: 0.5, Memory: 128 << 20}}), "demo/web is limited to cpu 0.5, memory 128 MiB\n")
	equal(t, "none", updateText(lab.UpdateResult{Name: "demo", Node: "w\x1b"}), `demo/w\x1b has no limits`+"\n")
}

func TestUpdateFlags(t *testing.T) {
	o := updateOptions{CPU: "1.5", CPUWeight: "none", Memory: "64MiB", Pids: "none"}
	set, lift, err := o.limits()
	if err != nil || set.CPU != 1.5 || set.Memory != 64<<20 || set.Pids != 0 || strings.Join(lift, " ") != "cpu_weight pids" {
		t.Errorf("%+v, %v, %v", set, lift, err)
	}
	for line, want := range map[string]string{
		"update":                  "NODE is missing; see nsnet update --help",
		"update a":                "no limit is given: --cpu, --cpu-weight, --memory or --pids; see nsnet update --help",
		"update a --cpu -1":       "cpu must be a number above 0, not -1; see nsnet update --help",
		"update a --memory 1":     "memory must be at least 1048576 bytes, not 1",
		"update a --pids 0":       "pids must be",
		"update a --cpu-weight x": "cpu_weight must be a whole number",
	} {
		r := nsnet(t, strings.Fields(line)...)
		if r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: %+v", line, r)
		}
	}
}
