package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab/wiring"
)

// netnsNames makes these names of network namespaces until the test ends: symbolic links
// to what the map says, files where that is nothing.
func netnsNames(t *testing.T, names map[string]string) {
	t.Helper()
	if err := os.MkdirAll(NetnsDir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(NetnsDir) })
	for name, target := range names {
		path := filepath.Join(NetnsDir, name)
		err := os.WriteFile(path, nil, 0o600)
		if target != "" {
			_ = os.Remove(path)
			err = os.Symlink(target, path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func namesLeft(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(NetnsDir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRemoveNetns(t *testing.T) {
	t.Parallel()
	const live = "/proc/self/ns/net"
	mine, theirs := "/proc/999991/fd/7", "/proc/999992/ns/net"
	for name, tc := range map[string]struct {
		names map[string]string
		rec   *record
		left  []string
	}{
		"all of the record": {
			map[string]string{"a": mine, "a.b": mine},
			&record{Name: "a", InitPID: 999991, Netns: []string{"a", "a.b"}}, nil},
		"not those of another lab": {
			map[string]string{"a": mine, "a.b": theirs, "a.b.c": theirs},
			&record{Name: "a", InitPID: 999991, Netns: []string{"a", "a.b"}}, []string{"a.b", "a.b.c"}},
		"not what the record does not name": {
			map[string]string{"a": mine, "a.c": mine},
			&record{Name: "a", InitPID: 999991, Netns: []string{"a", "a.b"}}, []string{"a.c"}},
		"none where up was killed before it made any": {
			map[string]string{"a": live, "a.b": theirs},
			&record{Name: "a", Netns: []string{"a", "a.b"}}, []string{"a", "a.b"}},
		"not by a pid that begins alike": {
			map[string]string{"a": "/proc/9999911/ns/net"},
			&record{Name: "a", InitPID: 999991, Netns: []string{"a"}}, []string{"a"}},
		"not what ip netns add has made": {
			map[string]string{"a": "", "a.b": "/run/elsewhere"},
			&record{Name: "a", InitPID: 999991, Netns: []string{"a", "a.b"}}, []string{"a", "a.b"}},
		"without a record, what leads nowhere": {
			map[string]string{"a": mine, "a.b": theirs, "a.c": live, "ab": mine, "b": mine, "a.d": "/nowhere", "a.e": ""},
			nil, []string{"a.c", "a.d", "a.e", "ab", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				netnsNames(t, tc.names)
				if err := removeNetns("a", tc.rec); err != nil {
					t.Fatal(err)
				}
				if left := namesLeft(t); !slices.Equal(left, tc.left) {
					t.Errorf("left are %q, not %q", left, tc.left)
				}
				if err := removeNetns("a", tc.rec); err != nil {
					t.Errorf("a second time: %v", err)
				}
			})
		})
	}
}

// Without any name there is not even the directory.
func TestRemoveNetnsWithoutAny(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		if err := removeNetns("a", nil); err != nil {
			t.Error(err)
		}
	})
}

const forward = "net/ipv4/ip_forward"

func setForward(t *testing.T, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+forward, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func forwarding(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/" + forward)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// The last lab that needs forwarding puts it back, whoever turned it on.
func TestReleaseSysctls(t *testing.T) {
	t.Parallel()
	duty := []bridge.Sysctl{{Path: forward, Old: "0", New: "1"}}
	for name, tc := range map[string]struct {
		other       record
		alive, busy bool
		damaged     bool
		heir        bool
	}{
		"handed over to a lab that runs":            {other: record{NAT: true, Built: true}, alive: true, heir: true},
		"handed over to a lab that is coming up":    {other: record{NAT: true}, busy: true, heir: true},
		"put back beside a dead lab":                {other: record{NAT: true}},
		"put back beside a lab without translation": {other: record{}, alive: true},
		"put back beside a damaged record":          {other: record{NAT: true}, alive: true, damaged: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testenv.Isolate(t, func(t *testing.T) {
				before := forwarding(t)
				t.Cleanup(func() { setForward(t, before) })
				setForward(t, "1")
				mine := record{Name: "mine", NAT: true, Sysctls: duty}
				madeUp(t, mine)
				tc.other.Name = "other"
				dir := madeUp(t, tc.other)
				if tc.alive {
					hold(t, dir, aliveFile, "1\n")
				}
				if tc.busy {
					hold(t, dir, lockFile, "")
				}
				if tc.damaged {
					if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := releaseSysctls(&mine, &record{}); err != nil {
					t.Fatal(err)
				}
				want, inherited := "0", []bridge.Sysctl(nil)
				if tc.heir {
					want, inherited = "1", duty
				}
				if got := forwarding(t); got != want {
					t.Errorf("forwarding is %s, not %s", got, want)
				}
				if r, err := readRecord(dir); !tc.damaged && (err != nil || cmp.Diff(r.Sysctls, inherited) != "") {
					t.Errorf("the other lab's duty is %+v, error %v", r.Sysctls, err)
				}
			})
		})
	}
}

// An up that writes its record again keeps the duty that it was handed meanwhile.
func TestSaveKeepsInheritance(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		b := builder{rec: record{Schema: schema, Name: "b", NAT: true}, dir: dirOf("b")}
		madeUp(t, b.rec)
		hold(t, b.dir, lockFile, "")
		mine := record{Name: "a", NAT: true, Sysctls: []bridge.Sysctl{{Path: forward, Old: "0", New: "1"}}}
		madeUp(t, mine)
		if _, err := releaseSysctls(&mine, &record{}); err != nil {
			t.Fatal(err)
		}
		b.rec.InitPID = 7
		if err := b.save(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord(b.dir)
		if err != nil || r.InitPID != 7 || cmp.Diff(r.Sysctls, mine.Sysctls) != "" {
			t.Errorf("the record is %+v, error %v", r, err)
		}
	})
}

// Only an interface with the lab's mark is the lab's, whatever its name.
func TestRemoveLinks(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		add := func(name, alias string) {
			a := netlink.NewLinkAttrs()
			a.Name = name
			l := &netlink.Veth{LinkAttrs: a, PeerName: name + "p"}
			if err := netlink.LinkAdd(l); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = netlink.LinkDel(l) })
			if alias != "" {
				if err := netlink.LinkSetAlias(l, alias); err != nil {
					t.Fatal(err)
				}
			}
		}
		left := func() string {
			links, err := netlink.LinkList()
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, l := range links {
				if n := l.Attrs().Name; n != "lo" && !strings.HasSuffix(n, "p") {
					names = append(names, n)
				}
			}
			slices.Sort(names)
			return strings.Join(names, " ")
		}
		add("mine", wiring.Mark("a")+"lan0")
		add("mine2", wiring.Mark("a")+"lan1")
		add("stranger", "")
		add("others", wiring.Mark("a.b")+"lan0")
		r := &record{Name: "a", Links: []string{"mine", "stranger", "others", "gone"}}
		if err := removeLinks("a", r); err != nil {
			t.Fatal(err)
		}
		if got := left(); got != "mine2 others stranger" {
			t.Errorf("by the record, left are %s", got)
		}
		if err := removeLinks("a", nil); err != nil {
			t.Fatal(err)
		}
		if got := left(); got != "others stranger" {
			t.Errorf("by the mark alone, left are %s", got)
		}
	})
}

// A lab's init is killed, waited for, and never mistaken: a pid in a file is a hint.
func TestEnd(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "unshare", "flock")
		dir := madeUp(t, record{Name: "a"})
		ends := func() error {
			_, _, err := end(t.Context(), dir, func() error { return nil })
			return err
		}
		says := func(text string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, aliveFile), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := ends(); err != nil {
			t.Errorf("without an init: %v", err)
		}
		says(fmt.Sprintln(lead(t, dir)))
		if err := ends(); err != nil {
			t.Error(err)
		}
		if alive(dir) {
			t.Error("it is still alive")
		}
		// The file says the pid of somebody else, and nobody holds the lock.
		stranger := hold(t, dir, lockFile, "")
		says(fmt.Sprintln(stranger.Pid))
		if err := ends(); err != nil {
			t.Error(err)
		}
		// Somebody holds it who is no lab's init, whatever the file says.
		hold(t, dir, aliveFile, "")
		for _, text := range []string{"", "damaged", "1\n", "-1", "0", "99999999999999999999", fmt.Sprintln(stranger.Pid), fmt.Sprintln(os.Getpid())} {
			says(text)
			if err := ends(); !errors.Is(err, errHidden) {
				t.Errorf("%q: %v", text, err)
			}
		}
		if !busy(dir) {
			t.Error("a process that is not the lab's was killed")
		}
	})
}

// Each part of the proof is needed.
func TestHoldsLife(t *testing.T) {
	t.Parallel()
	const locked = "pos:\t0\nflags:\t02100002\nlock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF\n"
	for text, want := range map[string]bool{
		locked: true, "": false, "lock:": false,
		strings.ReplaceAll(locked, "WRITE", "READ"):  false,
		strings.ReplaceAll(locked, "FLOCK", "POSIX"): false,
		strings.ReplaceAll(locked, "lock:", "x:"):    false,
	} {
		if got := lockedAlone([]byte(text)); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
	for text, want := range map[string]bool{
		"Name:\tx\nNSpid:\t359\t1\nNSpgid:\t359\t1\n": true, "NSpid:\t359\t7\t1\n": true,
		"NSpid:\t1\n": false, "NSpid:\t359\t2\n": false, "": false, "NSpid:": false,
	} {
		if got := firstOfNamespace([]byte(text)); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// FAULTS 15: where /run outlives a reboot, what a record says of sysctls is over.
func TestFault15_SysctlsOfAnotherBoot(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		const forward = "net/ipv4/ip_forward"
		writeSysctl := func(v string) {
			if err := os.WriteFile("/proc/sys/"+forward, []byte(v), 0); err != nil {
				t.Fatal(err)
			}
		}
		defer writeSysctl("0")
		for boot, want := range map[string]string{"another": "1", bootID(): "0", "": "0"} {
			writeSysctl("1")
			if _, err := releaseSysctls(&record{Name: "mine", BootID: boot, NAT: true, Sysctls: []bridge.Sysctl{{Path: forward, Old: "0", New: "1"}}}, &record{}); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile("/proc/sys/" + forward); err != nil || strings.TrimSpace(string(b)) != want {
				t.Errorf("boot %q: ip_forward is %s, error %v", boot, b, err)
			}
		}
	})
}
