package main

import "testing"

func TestJudge(t *testing.T) {
	t.Parallel()
	const log = "    x_test.go:1: goal 3: 80 ms\n        x_test.go:1: goal 3: 80 ms\n    x_test.go:2: goal 13: other\n--- PASS: TestX (0.1s)\n"
	for _, tt := range []struct {
		log               string
		passed            bool
		measured, verdict string
	}{
		{log, true, "80 ms", "met"},
		{log, false, "80 ms", "missed"},
		{"--- PASS: TestX (0.1s)\n", true, "its tests pass", "met"},
		{"--- FAIL: TestX\n", false, "its tests fail", "missed"},
		{"testing: warning: no tests to run\n", true, "no test ran", "not measured"},
	} {
		if m, v := judge(tt.log, 3, tt.passed); m != tt.measured || v != tt.verdict {
			t.Errorf("%q: %s, %s", tt.log, m, v)
		}
	}
}

func TestGoalsAreInOrder(t *testing.T) {
	t.Parallel()
	for i, g := range goals() {
		if g.number != i+1 || g.why == "" && (g.dir == "" || g.pattern == "") {
			t.Errorf("goal %d: %+v", i+1, g)
		}
	}
}
