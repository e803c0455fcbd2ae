package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/sandbox"
)

// envRole tells the processes of the sandbox apart; unset is the one the user starts.
const envRole = "NSNET_BENCH_ROLE"

const (
	roleSupervise = "supervise"
	roleMeasure   = "measure"
	roleNaive     = "naive" // a node of the naive star
)

// Parts of the benchmark.
const (
	partUp     = "up"
	partChange = "change"
	partExec   = "exec"
	partMem    = "mem"
	partAttach = "attach"
	partImages = "images"
	partOld    = "old"
)

// options are what the user chose.
type options struct {
	nsnet string // path of the binary; empty leaves nsnet out
	old   string // path of an older one; empty leaves the comparison with it out
	only  []string
	sizes []int
	runs  int
	peers bool
	pairs int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, out io.Writer) (int, error) {
	if os.Getenv(envRole) == roleNaive {
		return 0, naiveNode()
	}
	o, err := parseOptions(args)
	if err != nil {
		return 2, err
	}
	switch os.Getenv(envRole) {
	case roleSupervise:
		return sandbox.Supervise(envRole + "=" + roleMeasure), nil
	case roleMeasure:
		return 0, measure(ctx, o, out)
	}
	if os.Geteuid() != 0 {
		return 1, errors.New("needs root")
	}
	cmd, err := sandbox.Command(ctx, args...)
	if err != nil {
		return 1, err
	}
	cmd.Env = append(os.Environ(), envRole+"="+roleSupervise)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func parseOptions(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.nsnet, "nsnet", "bin/nsnet", "the nsnet `binary`; empty measures the others alone")
	f.StringVar(&o.old, "old", "", "an older nsnet `binary`, to be compared with")
	only := f.String("only", "up,change,exec,mem,attach,images", "the `parts` to run, separated by commas; with -old, old is one of them")
	sizes := f.String("sizes", "10,100,1000", "`nodes` of the stars, separated by commas")
	f.IntVar(&o.runs, "runs", 3, "rounds of up and down, the median of which counts")
	f.BoolVar(&o.peers, "peers", true, "measure Mininet, the ip script and naive containers, too")
	f.IntVar(&o.pairs, "pairs", 50, "pairs of nodes of each star that must reach each other by ping")
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	o.only = strings.Split(*only, ",")
	for _, part := range o.only {
		if !slices.Contains([]string{partUp, partChange, partExec, partMem, partAttach, partImages, partOld}, part) {
			return options{}, fmt.Errorf("unknown part %q: want up, change, exec, mem, attach, images or old", part)
		}
	}
	given := false
	f.Visit(func(f *flag.Flag) { given = given || f.Name == "only" })
	if o.old != "" && !given {
		o.only = append(o.only, partOld)
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 2 || n > maxNodes {
			return options{}, fmt.Errorf("size %q: want 2 to %d nodes", s, maxNodes)
		}
		o.sizes = append(o.sizes, n)
	}
	if o.runs < 1 {
		return options{}, errors.New("want one round at least")
	}
	for _, binary := range []*string{&o.nsnet, &o.old} {
		if *binary == "" {
			continue
		}
		path, err := filepath.Abs(*binary)
		if err != nil {
			return options{}, err
		}
		*binary = path
	}
	return o, nil
}

// measure runs the parts and prints their tables as they come.
func measure(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "nsnet-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := printMachine(out); err != nil {
		return err
	}
	var failed error
	for _, part := range []struct {
		name string
		run  func(context.Context, options, string) (table, error)
	}{
		{partUp, measureStars},
		{partChange, measureChanges},
		{partExec, measureExec},
		{partMem, measureMemory},
		{partAttach, measureAttach},
		{partImages, measureImageNodes},
		{partImages, measureSharing},
		{partImages, measureLoad},
		{partOld, measureOld},
	} {
		if !slices.Contains(o.only, part.name) {
			continue
		}
		t, measureErr := part.run(ctx, o, dir)
		// What was measured before a failure is worth showing.
		if len(t.rows) > 0 {
			if _, err := io.WriteString(out, "\n"+t.markdown()); err != nil {
				return err
			}
		}
		if measureErr != nil {
			failed = errors.Join(failed, fmt.Errorf("measure %s: %w", part.name, measureErr))
		}
	}
	return failed
}

// printMachine says what the numbers were measured on.
func printMachine(out io.Writer) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("read kernel version: %w", err)
	}
	_, err := fmt.Fprintf(out, "Linux %s %s, %d CPUs\n",
		unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Machine[:]), runtime.NumCPU())
	return err
}
