package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/lockfile"
)

// Result is what a program printed and how it ended.
type Result struct {
	Stdout, Stderr string
	Code           int // exit code; 128+N when signal N ended it
}

// Binary returns the path of the nsnet to test: NSNET_BIN when that is set, else the binary of
// this source tree, built once for all tests of a package. With NSNET_RACE=1 and cgo it is
// built with the race detector. It needs Main as TestMain.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(envBin); path != "" {
		return path
	}
	dir := os.Getenv(envDir)
	if dir == "" {
		t.Fatal("TestMain of this package does not call testenv.Main")
	}
	path, err := build(dir, "nsnet")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FailpointBinary returns the path of an nsnet that tests can kill, fail or delay before any of its acts, see
// [github.com/nsnet/nsnet/internal/failpoint]: NSNET_FAILPOINT_BIN when that is set, else one of this source tree, built
// once for all tests of a package. It needs Main as TestMain.
func FailpointBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(envFail); path != "" {
		return path
	}
	dir := os.Getenv(envDir)
	if dir == "" {
		t.Fatal("TestMain of this package does not call testenv.Main")
	}
	path, err := build(dir, "nsnet-failpoint", "-tags=failpoint")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// build makes nsnet in dir, by this name, unless it is there. Other processes of the same go test may be
// at it as well: the first to get the lock builds.
func build(dir, name string, flags ...string) (string, error) {
	path := filepath.Join(dir, name)
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("lock test directory: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := lockfile.Wait(context.Background(), lock, lockfile.Exclusive, "the tests' lock"); err != nil {
		return "", fmt.Errorf("lock test directory: %w", err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	args, env := append([]string{"build", "-buildvcs=false", "-o", path}, flags...), append(os.Environ(), "CGO_ENABLED=0")
	if os.Getenv("NSNET_RACE") == "1" && os.Getenv("CGO_ENABLED") != "0" {
		args, env = append(args, "-race"), append(env, "CGO_ENABLED=1")
	}
	cmd := exec.Command("go", append(args, "github.com/nsnet/nsnet/cmd/nsnet")...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nsnet: %w\n%s", err, out)
	}
	return path, nil
}

// Run runs nsnet with these arguments. It fails t only when nsnet cannot be started, or
// when something it has started still holds its output ten seconds after its end.
//
// What a test's file asks for is allowed, and it may take over the lab of another one: up and plan get the flags --trust and --replace, watch the
// first. A test of what happens without them uses Command.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Command(t, append([]string{Binary(t)}, Trusting(args...)...)...)
}

// Trusting adds to the arguments of nsnet that a topology file may have all that it asks for, and the lab of another file, where one is brought up or planned.
func Trusting(args ...string) []string {
	if len(args) > 1 && (args[0] == "up" || args[0] == "plan" || args[0] == "watch") {
		return slices.Insert(slices.Clone(args), 1, trusting(args[0])...)
	}
	return args
}

func trusting(command string) []string {
	if command == "watch" {
		return []string{"--trust"}
	}
	return []string{"--trust", "--replace"}
}

// Must runs nsnet, fails t when it does not exit with 0, and returns its standard output.
func Must(t testing.TB, args ...string) string {
	t.Helper()
	return mustSucceed(t, Run(t, args...), "nsnet", args)
}

// Command runs a program; see Run for when it fails t.
func Command(t testing.TB, argv ...string) Result {
	t.Helper()
	name := argv[0]
	if path, ok := lookProgram(name); ok {
		name = path
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v\n%s%s", strings.Join(argv, " "), err, stdout.String(), stderr.String())
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: exitCode(cmd.ProcessState)}
}

// MustCommand runs a program, fails t when it does not exit with 0, and returns its standard output.
func MustCommand(t testing.TB, argv ...string) string {
	t.Helper()
	return mustSucceed(t, Command(t, argv...), argv[0], argv[1:])
}

func mustSucceed(t testing.TB, r Result, name string, args []string) string {
	t.Helper()
	if r.Code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// InNetns runs a program of the test in the network namespace of a process.
func InNetns(t testing.TB, pid int, argv ...string) Result {
	t.Helper()
	return Command(t, append([]string{"nsenter", "--net", "--target", strconv.Itoa(pid), "--"}, argv...)...)
}
