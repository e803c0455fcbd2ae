package testenv

import (
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The process is alone in namespaces of its own, lo is up, and nsnet's directories are empty.
func TestIsolate(t *testing.T) {
	outside, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(envRole) == "" {
		t.Setenv("NSNET_TESTENV_OUTSIDE", outside)
	}
	Isolate(t, func(t *testing.T) {
		for _, kind := range []string{"net", "mnt", "pid", "ipc", "uts"} {
			one, err := os.Readlink("/proc/1/ns/" + kind)
			if err != nil {
				t.Fatal(err)
			}
			if own, err := os.Readlink("/proc/self/ns/" + kind); err != nil || own != one {
				t.Errorf("namespace %s: %q, that of the supervisor %q, error %v", kind, own, one, err)
			}
		}
		if outside == os.Getenv("NSNET_TESTENV_OUTSIDE") {
			t.Error("still in the machine's network namespace")
		}
		links, err := net.Interfaces()
		if err != nil || len(links) == 0 || links[0].Name != "lo" || links[0].Flags&net.FlagUp == 0 {
			t.Errorf("links %v, error %v: want lo, up", links, err)
		}
		names, err := os.ReadDir("/sys/class/net")
		if err != nil || len(names) != len(links) {
			t.Errorf("/sys/class/net has %d links, error %v; want %d", len(names), err, len(links))
		}
		for _, dir := range []string{"/run", "/etc/netns", "/var/lib/nsnet"} {
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 0 {
				t.Errorf("%s: %v, error %v; want it empty", dir, entries, err)
			}
		}
		if _, err := os.Stat("/sys/fs/cgroup"); err != nil {
			t.Error(err)
		}
		Ping(t, 0, netip.MustParseAddr("127.0.0.1"), 1)
		Ping(t, 1, netip.MustParseAddr("::1"), 1)
		Unreachable(t, 0, netip.MustParseAddr("192.0.2.1"))
	})
}

// Isolated subtests run one at a time, though names are quoted, and a skip inside is a skip.
func TestIsolateSubtests(t *testing.T) {
	Root(t)
	for _, name := range []string{"plain", "a b (c) [d]", "x.y"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Isolate(t, func(t *testing.T) { t.Log(t.Name()) })
		})
	}
	t.Run("skip", func(t *testing.T) {
		Isolate(t, func(t *testing.T) { t.Skip("wanted") })
		if os.Getenv(envRole) == "" {
			t.Error("goes on after a skip")
		}
	})
}

func TestRunPattern(t *testing.T) {
	parts := strings.Split(runPattern("TestA/b.c#01"), "/")
	if len(parts) != 2 || !regexp.MustCompile(parts[1]).MatchString("b.c#01") || regexp.MustCompile(parts[1]).MatchString("bxc#01") {
		t.Errorf("got %q", parts)
	}
}

func TestVerdictOf(t *testing.T) {
	const output = "=== RUN   TestA\n    --- SKIP: TestA/b (0.00s)\n--- PASS: TestA (0.01s)\nPASS\n"
	for name, want := range map[string]string{"TestA": "PASS", "TestA/b": "SKIP", "Test": ""} {
		if got := verdictOf(output, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// With NSNET_STRICT=1 what is missing is a failure, without it a skip.
func TestNeed(t *testing.T) {
	for strict, want := range map[string]string{"1": "failed", "": "skipped"} {
		t.Setenv("NSNET_STRICT", strict)
		f := &fake{TB: t}
		f.run(func() { Need(f, "sh", "no-such-program") })
		if got := f.verdict(); got != want {
			t.Errorf("NSNET_STRICT=%q: %s, want %s", strict, got, want)
		}
	}
}

func TestLabName(t *testing.T) {
	a, b := LabName(t), LabName(t)
	if a == b || len(a) > 13 || !strings.HasPrefix(a, labPrefix()) {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestCommand(t *testing.T) {
	if r := Command(t, "sh", "-c", "echo out; echo err >&2; exit 3"); r != (Result{"out\n", "err\n", 3}) {
		t.Errorf("got %+v", r)
	}
	if r := Command(t, "sh", "-c", "kill -9 $$"); r.Code != 137 {
		t.Errorf("killed: got %+v", r)
	}
}
