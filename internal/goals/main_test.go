package main

import (
	"slices"
	"testing"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	const log = "    x_test.go:1: goal 3: 80 ms\n        x_test.go:1: goal 3: 80 ms\n    x_test.go:2: goal 13: other\n--- PASS: TestX (0.1s)\n"
	for _, tt := range []struct {
		log               string
		passed, ran       bool
		measured, verdict string
	}{
		{log, true, true, "80 ms", "met"},
		{log, false, true, "80 ms", "missed"},
		{"--- PASS: TestX (0.1s)\n", true, true, "its tests pass", "met"},
		{"--- FAIL: TestX\n", false, false, "its tests fail", "missed"},
		{"testing: warning: no tests to run\n", true, false, "no test ran", "not measured"},
	} {
		if m, v := judge(tt.log, 3, tt.passed, tt.ran); m != tt.measured || v != tt.verdict {
			t.Errorf("%q: %s, %s", tt.log, m, v)
		}
	}
}

func TestGoalsAreInOrder(t *testing.T) {
	t.Parallel()
	for i, g := range goals() {
		if g.number != i+1 || len(g.tests) == 0 || slices.Contains(g.tests, tests{}) {
			t.Errorf("goal %d: %+v", i+1, g)
		}
	}
}

func TestSecurityGoals(t *testing.T) { //nolint:paralleltest // it changes the directory
	t.Chdir("../..")
	all, err := security()
	if err != nil {
		t.Fatal(err)
	}
	last := 17
	for _, g := range all {
		if g.number <= last || len(g.tests) == 0 || slices.Contains(g.tests, tests{}) {
			t.Errorf("goal %d: %+v", g.number, g)
		}
		last = g.number
	}
	if len(all[0].tests) < 8 {
		t.Errorf("the attacks are tested in %d packages", len(all[0].tests))
	}
}
