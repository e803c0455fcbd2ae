package testenv

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Ping sends count echo requests from the network namespace of a process, ten a second,
// waits a second for each, and fails t when one is not answered. Pid 0 is the test itself.
func Ping(t testing.TB, pid int, to netip.Addr, count int) {
	t.Helper()
	// The exit code is no help: with -c it is 0 as soon as one of them was answered.
	if r := ping(t, pid, to, count); !strings.Contains(r.Stdout, " 0% packet loss") {
		t.Fatalf("ping %s from process %d: exit code %d\n%s%s", to, pid, r.Code, r.Stdout, r.Stderr)
	}
}

// Unreachable fails t when one of two echo requests is answered.
func Unreachable(t testing.TB, pid int, to netip.Addr) {
	t.Helper()
	if r := ping(t, pid, to, 2); r.Code == 0 {
		t.Fatalf("ping %s from process %d: answered\n%s", to, pid, r.Stdout)
	}
}

func ping(t testing.TB, pid int, to netip.Addr, count int) Result {
	t.Helper()
	Need(t, "ping")
	argv := []string{"ping", "-n", "-i", "0.1", "-W", "1", "-c", strconv.Itoa(count), to.String()}
	if pid == 0 {
		return Command(t, argv...)
	}
	return InNetns(t, pid, argv...)
}

// slack is how much longer than on a machine of its own things may take beside all other tests.
const slack = 4

// Eventually calls f until it returns true, with growing pauses, and fails t when it did not within
// the limit, which is that of a machine with nothing else to do. For what takes its time outside nsnet: a daemon's start, a protocol's convergence.
func Eventually(t testing.TB, limit time.Duration, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(slack * limit)
	for pause := 5 * time.Millisecond; !f(); pause = min(2*pause, 500*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", slack*limit, what)
		}
		time.Sleep(pause)
	}
}
