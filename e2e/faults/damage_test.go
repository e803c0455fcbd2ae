package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Nothing is signalled by a number from a file: whatever the record says is the pid of a lab's init, down ends the
// lab, and nobody else.
func TestDownKillsNoStranger(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		stranger := exec.Command("sleep", "infinity")
		if err := stranger.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
		before := snapshot(t)
		r := define(t, mixed(3))
		for _, number := range []string{fmt.Sprintln(stranger.Process.Pid), "1\n", "0\n", "-1\n", "", "damaged", "99999999999999999999\n"} {
			testenv.Must(t, "up", r.file)
			init := r.status().InitPID
			writeFile(t, filepath.Join("/run/nsnet", r.name, "alive"), number)
			state := filepath.Join("/run/nsnet", r.name, "state.json")
			b, err := os.ReadFile(state)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, state, strings.Replace(string(b), fmt.Sprintf(`"init_pid":%d,`, init), fmt.Sprintf(`"init_pid":%d,`, stranger.Process.Pid), 1))
			if got := r.status().InitPID; got != init {
				t.Errorf("%q: ps says that the init is %d, and it is %d", number, got, init)
			}
			testenv.Must(t, "plan", r.file)
			testenv.Must(t, "down", r.name)
			if exists(fmt.Sprintf("/proc/%d", init)) {
				t.Errorf("%q: the lab's init lives on", number)
			}
			if err := stranger.Process.Signal(unix.Signal(0)); err != nil {
				t.Fatalf("%q: the stranger was killed: %v", number, err)
			}
			nothingLeft(t, before, fmt.Sprintf("down with %q", number))
		}
	})
}

// A record that was damaged, exchanged, or is another lab's is told of, and down and gc --force remove what it was about.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		lockGroups(t, unix.LOCK_SH)
		other := start(t, "name: NAME\nnodes: {x: {command: [sleep, infinity]}}\n")
		before := snapshot(t)
		// Without nat: what forwarding was before is written in the record only.
		r := define(t, strings.ReplaceAll(mixed(3), ", nat: true", ""))
		damages := map[string]func(path, name string, b []byte) error{
			"truncated": func(path, _ string, b []byte) error { return os.Truncate(path, int64(len(b)/2)) },
			"emptied":   func(path, _ string, _ []byte) error { return os.Truncate(path, 0) },
			"zeroed":    func(path, _ string, b []byte) error { return os.WriteFile(path, make([]byte, len(b)), 0o600) },
			"exchanged": func(path, name string, _ []byte) error {
				theirs, err := os.ReadFile(filepath.Join("/run/nsnet", other.name, name))
				if err != nil {
					return err
				}
				return os.WriteFile(path, theirs, 0o600)
			},
		}
		for _, name := range []string{"state.json", "topology.json", "index", "alive"} {
			for how, damage := range damages {
				for _, dead := range []bool{false, true} {
					testenv.Must(t, "up", r.file)
					pid := r.status().InitPID
					path := filepath.Join("/run/nsnet", r.name, name)
					b, err := os.ReadFile(path)
					if err == nil {
						err = damage(path, name, b)
					}
					if err != nil {
						t.Fatal(err)
					}
					if dead {
						kill(t, pid)
					}
					when := fmt.Sprintf("%s %s, dead: %v", name, how, dead)
					told := !dead && strings.HasSuffix(name, ".json")
					for _, args := range [][]string{{"ps", r.name}, {"inspect", r.name}, {"plan", r.file}, {"exec", r.name + "/n0", "--", "true"}, {"gc"}} {
						got := testenv.Run(t, args...)
						if strings.Contains(got.Stderr, "goroutine ") {
							t.Errorf("%s: %v: %s", when, args, got.Stderr)
						}
						if told && (args[0] == "ps" || args[0] == "plan") && (got.Code == 0 || !strings.Contains(got.Stderr, r.name) || !strings.Contains(got.Stderr, name)) {
							t.Errorf("%s: %v tells nothing: exit code %d, %s", when, args, got.Code, got.Stderr)
						}
					}
					if dead {
						gc(t, "--force")
					} else {
						testenv.Must(t, "down", r.name)
					}
					nothingLeft(t, before, when)
				}
			}
		}
		if got := other.sh("x", "echo lives"); got != "lives" {
			t.Errorf("the other lab: %q", got)
		}
	})
}

// What a record has written or removed by root is looked at: a path that leads out is not taken.
func TestRecordLeadsNowhere(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		victim := filepath.Join(t.TempDir(), "victim")
		r := define(t, strings.ReplaceAll(mixed(3), ", nat: true", ""))
		for what, with := range map[string]string{
			`"sysctls"`: fmt.Sprintf(`[{"path":"../..%s","old":"0","new":"1"}]`, victim),
			`"dns"`:     `["../../..` + victim + `"]`,
			`"netns"`:   `["../../` + victim + `"]`,
			`"links"`:   `["lo"]`,
			`"rules"`:   `[{"program":"` + victim + `","family":"ipv4","table":"filter","chain":"FORWARD","spec":["-j","ACCEPT"]}]`,
		} {
			testenv.Must(t, "up", r.file)
			writeFile(t, victim, "1\n")
			state := filepath.Join("/run/nsnet", r.name, "state.json")
			b, err := os.ReadFile(state)
			if err != nil {
				t.Fatal(err)
			}
			// The last of two values counts.
			b = append(bytes.TrimSuffix(bytes.TrimSpace(b), []byte("}")), fmt.Sprintf(`,%s:%s}`, what, with)...)
			writeFile(t, state, string(b))
			fails(t, testenv.Run(t, "ps", r.name), 1, r.name, "damaged")
			testenv.Must(t, "down", r.name)
			if got, err := os.ReadFile(victim); err != nil || string(got) != "1\n" {
				t.Errorf("%s: the victim has %q, error %v", what, got, err)
			}
			if err := os.Remove(victim); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, before, "down with "+what)
		}
	})
}

// A directory of records that others can write is not taken: they would say what labs there are.
func TestRunDirOfOthers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		before := snapshot(t)
		r := define(t, "name: NAME\nnodes: {a: {}}\n")
		elsewhere := t.TempDir()
		const dir = "/run/nsnet"
		for what, plant := range map[string]func() error{
			"link":      func() error { return os.Symlink(elsewhere, dir) },
			"writable":  func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) },
			"group":     func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) },
			"another's": func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 1000, 1000)) },
			"a file":    func() error { return os.WriteFile(dir, nil, 0o600) },
		} {
			if err := plant(); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"up", r.file}, {"ps"}, {"exec", "a", "--", "true"}, {"down", r.name}, {"gc"}, {"attach", "--pid", "1", "--ip", "192.0.2.1/24", "--peer-ip", "192.0.2.2/24"}} {
				code := 1
				if args[0] == "exec" {
					code = 125
				}
				fails(t, testenv.Run(t, args...), code, dir, "chown root")
			}
			if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
				t.Errorf("%s: wrote %v, error %v", what, left, err)
			}
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, before, what)
		}
		// The lock of a lab is no way out of it.
		mustMkdir(t, filepath.Join(dir, r.name))
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		victim := filepath.Join(elsewhere, "victim")
		if err := os.Symlink(victim, filepath.Join(dir, r.name, "lock")); err != nil {
			t.Fatal(err)
		}
		if got := testenv.Run(t, "up", r.file); got.Code == 0 || !strings.Contains(got.Stderr, "lock") {
			t.Errorf("a lock that is a link: %+v", got)
		}
		if exists(victim) {
			t.Error("the link was followed")
		}
		remove(t, filepath.Join(dir, r.name, "lock"))
	})
}
