package vm

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const last = "VM: begin b\n[    4.0] sysrq: Resetting\n"
	const a = "VM: begin a\nhello\n[    1.0] a word of the kernel's\n\nVM: end a 0 3.25\n"
	for name, tc := range map[string]struct {
		console string
		want    []string
		cut     bool
		err     string
	}{
		"all is well":        {a + "VM: begin b\nVM: end b 3 4\nVM: done\n", []string{"a", "b"}, false, ""},
		"nothing":            {"", nil, false, "the machine ended before its last word"},
		"no last word":       {a, []string{"a"}, false, "the machine ended before its last word"},
		"ended inside":       {"VM: begin a\nhello\n", []string{"a"}, false, "the machine ended in script a"},
		"no end":             {"VM: begin a\n" + a, []string{"a"}, false, "script a has no end"},
		"an end of another":  {"VM: begin a\nVM: end b 0 1\nVM: done\n", []string{"a"}, false, `the guest said "VM: end b 0 1" in script "a"`},
		"an end without one": {"VM: end a 0 1\nVM: done\n", []string{"a"}, false, `the guest said "VM: end a 0 1" in script ""`},
		"no code":            {"VM: begin a\nVM: end a\nVM: done\n", []string{"a"}, false, `the guest said "VM: end a" in script "a"`},
		"too few":            {a + "VM: done\n", []string{"a", "b"}, false, "1 scripts were run, 2 were wanted"},
		"another":            {a + "VM: done\n", []string{"b"}, false, "script a was run in place of b"},
		"a bad kernel":       {a + "VM: the kernel complained\nVM: done\n", []string{"a"}, false, "the kernel complained about itself; see the end of the console"},
		"a cut":              {a + last, []string{"a", "b"}, true, ""},
		"not to be cut":      {a + last, []string{"a", "b"}, false, "the machine ended in script b"},
		"cut too early":      {last, []string{"b", "c"}, true, "the machine ended in script b"},
		"died, and no cut":   {a + "VM: begin b\n", []string{"a", "b"}, true, "the machine ended in script b"},
		"cut by another":     {a + last, []string{"c", "b"}, true, "script a was run in place of c"},
		"outlived":           {a + "VM: done\n", []string{"a"}, true, "the machine has outlived script a, which was to cut its power"},
		"failed to cut":      {"VM: begin a\nVM: end a 1 2\nVM: done\n", []string{"a"}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(tc.console, tc.want, tc.cut)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || err.Error() != tc.err) {
				t.Errorf("%v, want %s", err, tc.err)
			}
		})
	}
	got, err := parse(a+"VM: done\n", []string{"a"}, false)
	want := []Result{{Name: "a", Output: "hello\n[    1.0] a word of the kernel's\n\n", Uptime: 3.25}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestFindMissing(t *testing.T) {
	t.Setenv("NSNET_KERNELS", t.TempDir())
	if _, err := Find("6.1"); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
}
