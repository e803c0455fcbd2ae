package vm

import (
	"errors"
	"fmt"
	"strings"
)

// What the guest's lines of its own begin with, see guest/main. A line may follow what a script
// printed without an end of line.
const (
	markBegin = "VM: begin "
	markEnd   = "VM: end "
	markBad   = "VM: the kernel complained"
	markLast  = "VM: done"
)

// markReset is the kernel's last word before it resets the machine, see power_cut in guest/lib.sh.
const markReset = "sysrq: Resetting"

// parse reads a console: a result for each script that was wanted, or an error. The last one may have to cut the power.
func parse(console string, want []string, cut bool) ([]Result, error) {
	var results []Result
	var out strings.Builder
	current, done, bad, reset := "", false, false, false
	for line := range strings.Lines(console) {
		text := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(text, markBegin):
			if current != "" {
				return nil, fmt.Errorf("script %s has no end", current)
			}
			current = text[len(markBegin):]
			out.Reset()
		case strings.HasPrefix(text, markEnd):
			var r Result
			if _, err := fmt.Sscanf(text, markEnd+"%s %d %g", &r.Name, &r.Code, &r.Uptime); err != nil || r.Name != current {
				return nil, fmt.Errorf("the guest said %q in script %q", text, current)
			}
			r.Output = out.String()
			results = append(results, r)
			current = ""
		case strings.HasPrefix(text, markBad):
			bad = true
		case strings.HasPrefix(text, markLast):
			done = true
		default:
			reset = reset || strings.Contains(text, markReset)
			out.WriteString(line)
		}
	}
	if n := len(want) - 1; cut && reset && len(results) == n && current == want[n] {
		return results, inOrder(results, want)
	}
	switch {
	case current != "":
		return nil, fmt.Errorf("the machine ended in script %s", current)
	case !done:
		return nil, errors.New("the machine ended before its last word")
	case bad:
		return results, errors.New("the kernel complained about itself; see the end of the console")
	case len(results) != len(want):
		return results, fmt.Errorf("%d scripts were run, %d were wanted", len(results), len(want))
	case cut && results[len(results)-1].Code == 0:
		return results, fmt.Errorf("the machine has outlived script %s, which was to cut its power", want[len(want)-1])
	}
	return results, inOrder(results, want)
}

// inOrder tells whether these are the first scripts that were wanted.
func inOrder(results []Result, want []string) error {
	for i, r := range results {
		if r.Name != want[i] {
			return fmt.Errorf("script %s was run in place of %s", r.Name, want[i])
		}
	}
	return nil
}
