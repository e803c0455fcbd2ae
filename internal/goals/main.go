package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/attacks"
)

// goal is one promise, and how it is measured.
type goal struct {
	number int
	target string
	tests  []tests
}

// tests are some of a package.
type tests struct {
	dir     string
	pattern string // of their names
}

func goals() []goal {
	faults := func(pattern string) tests { return tests{"./e2e/faults", pattern} }
	vm := func(pattern string) tests { return tests{"./e2e/vm", pattern} }
	return []goal{
		{1, "up killed at every act and at 200 random moments: 0 left over", []tests{faults("^TestFault01_")}},
		{2, "the same for down and ten edits; the next up finishes them", []tests{faults("^TestFault03_")}},
		{3, "50 nodes gone 250 ms after their init was killed", []tests{faults("^TestFiftyNodesGoAtOnce$")}},
		{4, "down twice, of nothing, without file, without record: 0 left over", []tests{faults("^TestDownOfWhatIsDamaged$")}},
		{5, "5 errors at every act of up: named, with a remedy, 0 left over", []tests{faults("^TestErrorAtEveryAct$")}},
		{6, "1,000 up and down: below 1 kernel object per 100; what lives long does not grow", []tests{
			vm("^TestCyclesLeaveNothingInTheKernel$"), faults("^Test(EditsLeaveNothingInTheInits|WatchDoesNotGrow)$")}},
		{7, "8 labs at once, 20 ups of one: one wins, 0 left over", []tests{faults("^TestFault04_")}},
		{8, "200 pids used again: 0 signals to a wrong process", []tests{faults("^TestPidsPassToStrangers$")}},
		{9, "power cut at 30 acts: the next boot's gc succeeds, all is readable", []tests{vm("^TestFault15_PowerCut")}},
		{10, "Docker, a flush, FORWARD drop: 0 lost in the lab, Docker's rules as before", []tests{faults("^TestFault24_")}},
		{11, "full mesh of 48 nodes at gc_thresh3=1024: 2,256 of 2,256 first packets", []tests{faults("^TestFault19_")}},
		{12, "1,000 nodes: up, or refused before anything is changed", []tests{faults("^TestThousandNodes$")}},
		{13, "first packet after up: 0 lost in IPv4 and IPv6", []tests{{"./e2e", "^TestFault26_"}}},
		{14, "one link of 50 nodes changed: below 200 ms, 0 lost on others, pids kept", []tests{faults("^TestFault17_")}},
		{15, "out of memory is told within 1 s, on version 1 and 2; 10,000 orphans: 0 zombies after 1 s", []tests{
			faults("^Test(OutOfMemoryIsToldAtOnce|OrphansAreReaped)$"), vm("^TestOutOfMemoryIsToldAtOnce$")}},
		{16, "a lent card comes home after SIGKILL, 20 of 20", []tests{vm("^TestFault16_")}},
		{17, "each numbered fault has a test with its number, or a reason", []tests{{"./internal/rules", "^TestFaultsHaveTests$"}}},
	}
}

// security are goals of what attackers may not do. 25 and 27 are of ordinary users' labs, which there are none of yet.
func security() ([]goal, error) {
	all, err := attackTests("docs/security.md")
	if err != nil {
		return nil, err
	}
	faults := func(pattern string) tests { return tests{"./e2e/faults", pattern} }
	e2e := func(pattern string) tests { return tests{"./e2e", pattern} }
	return []goal{
		{18, "each attack of docs/security.md fails", append(all, tests{"./internal/rules", "^TestAttacksHaveTests$"}, tests{"./e2e/vm", "^TestAttacks$"})},
		{19, "40 and more ways out of a tar: 0 written outside, memory bounded", []tests{{"./image/unpack", "^Test(Breakouts|Whiteouts|RefusedEntries|Ratio|ZstdBombs)$|^FuzzUnpack$"}}},
		{20, "a default node: the documented capabilities, no new privileges, seccomp, no id of the host, 8 devices at most, descriptors 0 to 2", []tests{faults("^TestNodeProcess$")}},
		{21, "no socket in the host's network namespace, no set-user-ID file, no state for others to read", []tests{faults("^TestN(odeProcess|oRoot)$")}},
		{22, "published on 127.0.0.1; from the network 0 of 65,535 unpublished ports", []tests{e2e("^TestNeighboursReachWhatIsPublished$")}},
		{23, "any file of up to 4 MiB: a verdict in bounds of time and memory", []tests{{"./topology", "^TestHostileFiles$"}}},
		{24, "nodes and labs: 0 signals, traces and reads across", []tests{faults("^TestNodeAttacks$")}},
		{26, "doctor finds what is planted", []tests{e2e("^TestDoctorFindsProblems$")}},
		{28, "a budget of dependencies with a reason for each; two builds are the same", []tests{{"./internal/rules", "^Test(DependencyBudget|BuildIsReproducible)$"}}},
	}, nil
}

// attackTests are the tests that a document has of its attacks, by package.
func attackTests(document string) ([]tests, error) {
	rows, err := attacks.Read(document)
	if err != nil {
		return nil, err
	}
	patterns := attacks.Patterns(rows)
	var all []tests
	for _, dir := range slices.Sorted(maps.Keys(patterns)) {
		all = append(all, tests{"./" + dir, patterns[dir]})
	}
	return all, nil
}

// result is what was found.
type result struct {
	goal
	measured, verdict string
	took              time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, progress io.Writer) int {
	flags := flag.NewFlagSet("goals", flag.ContinueOnError)
	only := flags.String("only", "", "measure these goals alone: 1,6,11")
	ofSecurity := flags.Bool("security", false, "the goals of security, in place of those of reliability")
	if flags.Parse(args) != nil {
		return 2
	}
	wanted := goals()
	if *ofSecurity {
		var err error
		if wanted, err = security(); err != nil {
			_, _ = fmt.Fprintln(progress, err)
			return 1
		}
	}
	var chosen []int
	for word := range strings.SplitSeq(*only, ",") {
		if n, err := strconv.Atoi(word); err == nil {
			chosen = append(chosen, n)
		}
	}
	var results []result
	code := 0
	for _, g := range wanted {
		if ctx.Err() != nil || len(chosen) > 0 && !slices.Contains(chosen, g.number) {
			continue
		}
		_, _ = fmt.Fprintf(progress, "goal %d: %s\n", g.number, g.target)
		r := measure(ctx, g)
		_, _ = fmt.Fprintf(progress, "        %s, %s, in %s\n", r.verdict, r.measured, r.took.Round(time.Second))
		if r.verdict == "missed" {
			code = 1
		}
		results = append(results, r)
	}
	_, _ = fmt.Fprint(out, table(results))
	return code
}

// measure runs a goal's tests.
func measure(ctx context.Context, g goal) result {
	start := time.Now()
	var log bytes.Buffer
	passed, ran := true, true
	for _, t := range g.tests {
		cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout=90m", "-run="+t.pattern, t.dir)
		cmd.Env = append(os.Environ(), "NSNET_FAULTS=full", "NSNET_STRICT=1")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		passed = cmd.Run() == nil && passed
		ran = ran && strings.Contains(out.String(), "--- PASS: Test")
		log.Write(out.Bytes())
	}
	r := result{goal: g, took: time.Since(start)}
	r.measured, r.verdict = judge(log.String(), g.number, passed, ran)
	if r.verdict == "missed" {
		fmt.Fprintln(os.Stderr, log.String())
	}
	return r
}

// judge reads the output of go test -v: what was measured, and whether that is enough. A goal of which some tests did not run is not measured.
func judge(log string, number int, passed, ran bool) (measured, verdict string) {
	var found []string
	for _, m := range regexp.MustCompile(`(?m)goal (\d+): (.*)$`).FindAllStringSubmatch(log, -1) {
		if m[1] == strconv.Itoa(number) && !slices.Contains(found, m[2]) {
			found = append(found, m[2])
		}
	}
	switch {
	case !passed:
		verdict = "missed"
	case !ran:
		return "no test ran", "not measured"
	default:
		verdict = "met"
	}
	if len(found) == 0 {
		found = []string{"its tests pass"}
		if !passed {
			found = []string{"its tests fail"}
		}
	}
	slices.Sort(found)
	return strings.Join(found, "; "), verdict
}

func table(results []result) string {
	var b strings.Builder
	b.WriteString("| goal | target | measured | verdict |\n|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", r.number, r.target, r.measured, r.verdict)
	}
	return b.String()
}
