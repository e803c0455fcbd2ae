package testenv

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Kind is a kind of thing that a test can leave behind.
type Kind string

// The kinds that a snapshot holds.
const (
	KindLink       Kind = "link"       // of this network namespace, with its attributes
	KindNetns      Kind = "netns"      // mounted, or of a process
	KindMount      Kind = "mount"      // a line of mountinfo without its numbers
	KindCgroup     Kind = "cgroup"     // of the test's labs, in every hierarchy
	KindFirewall   Kind = "firewall"   // nftables and iptables rules
	KindRoute      Kind = "route"      // routes of all tables, rules, permanent neighbours
	KindSysctl     Kind = "sysctl"     // net.* of this network namespace
	KindFile       Kind = "file"       // where nsnet keeps files
	KindProcess    Kind = "process"    // of this PID namespace
	KindDescriptor Kind = "descriptor" // of this process
	KindThread     Kind = "thread"     // namespaces of this process's threads
)

// Snapshot is the state of the test's own namespaces, and of the control groups of its labs. For
// each kind it maps what there is to how often.
type Snapshot struct {
	labs  []string
	items map[Kind]map[string]int
}

// Leak is one difference of two snapshots.
type Leak struct {
	Kind Kind
	Item string
	Gone bool // it was there before and is not any more
}

// String is the leak in one line: "+ link dummy0 ...".
func (l Leak) String() string {
	sign := "+"
	if l.Gone {
		sign = "-"
	}
	return sign + " " + string(l.Kind) + " " + l.Item
}

// observers returns the function that observes each kind.
func observers() map[Kind]func(labs []string) ([]string, error) {
	whole := func(f func() ([]string, error)) func([]string) ([]string, error) {
		return func([]string) ([]string, error) { return f() }
	}
	return map[Kind]func([]string) ([]string, error){
		KindLink:       whole(observeLinks),
		KindNetns:      whole(observeNetns),
		KindMount:      whole(observeMounts),
		KindCgroup:     observeCgroups,
		KindFirewall:   whole(observeFirewall),
		KindRoute:      whole(observeRoutes),
		KindSysctl:     whole(observeSysctls),
		KindFile:       whole(observeFiles),
		KindProcess:    whole(observeProcesses),
		KindDescriptor: whole(observeDescriptors),
		KindThread:     whole(observeThreads),
	}
}

// Take takes a snapshot. Control groups are those of labs whose names begin with what
// LabName's begin with, and of the labs named here.
func Take(labs ...string) (*Snapshot, error) {
	if err := startPoller(); err != nil {
		return nil, err
	}
	s := &Snapshot{labs: labs, items: map[Kind]map[string]int{}}
	for kind, observe := range observers() {
		items, err := observe(append([]string{labPrefix()}, labs...))
		if err != nil {
			return nil, fmt.Errorf("observe %s: %w", kind, err)
		}
		counts := map[string]int{}
		for _, item := range items {
			counts[item]++
		}
		s.items[kind] = counts
	}
	return s, nil
}

// Diff returns what after has and s has not, and the other way round, sorted by kind.
func (s *Snapshot) Diff(after *Snapshot) []Leak {
	var leaks []Leak
	for _, kind := range slices.Sorted(maps.Keys(s.items)) {
		before, now := s.items[kind], after.items[kind]
		for _, item := range slices.Sorted(maps.Keys(before)) {
			if now[item] < before[item] {
				leaks = append(leaks, Leak{Kind: kind, Item: item, Gone: true})
			}
		}
		for _, item := range slices.Sorted(maps.Keys(now)) {
			if now[item] > before[item] {
				leaks = append(leaks, Leak{Kind: kind, Item: item})
			}
		}
	}
	return slices.DeleteFunc(leaks, harmless)
}

// harmless tells differences that are no leak: a process that had been there has ended, a
// module that was loaded has brought sysctls, a namespace has gone with its process, another test has removed what it had mounted.
func harmless(l Leak) bool {
	switch l.Kind {
	case KindProcess:
		return l.Gone
	case KindSysctl:
		return !l.Gone && strings.HasPrefix(l.Item, "net.netfilter.")
	case KindMount:
		point, _, _ := strings.Cut(l.Item, " ")
		return l.Gone && ofAnotherTest(point)
	}
	return false
}

// ofAnotherTest tells a mount that has gone with its mount point: when somebody elsewhere removes a directory, the kernel takes away what is
// mounted there in all mount namespaces, also in those that had only copied it (detach_mounts).
func ofAnotherTest(point string) bool {
	_, err := os.Lstat(point)
	return strings.HasPrefix(point, os.TempDir()+"/") && errors.Is(err, os.ErrNotExist)
}

// Wait compares s with the present until nothing differs or the time is over, as the kernel
// destroys network namespaces and control groups in its own time. It returns what differs at last,
// but for the kinds named.
func (s *Snapshot) Wait(limit time.Duration, except ...Kind) ([]Leak, error) {
	deadline := time.Now().Add(limit)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		now, err := Take(s.labs...)
		if err != nil {
			return nil, err
		}
		leaks := slices.DeleteFunc(s.Diff(now), func(l Leak) bool { return slices.Contains(except, l.Kind) })
		if len(leaks) == 0 || time.Now().After(deadline) {
			return leaks, nil
		}
		time.Sleep(pause)
	}
}

// CheckLeaks takes a snapshot now, and when t and its clean-ups so far have ended fails t
// for everything that differs after three seconds. Isolate does this by itself.
func CheckLeaks(t testing.TB, labs ...string) {
	t.Helper()
	before, err := Take(labs...)
	if err != nil {
		t.Fatalf("take snapshot: %v", err)
	}
	t.Cleanup(func() {
		leaks, err := before.Wait(3 * time.Second)
		if err != nil {
			t.Errorf("take snapshot: %v", err)
		}
		for _, l := range leaks {
			t.Errorf("left behind: %s", l)
		}
	})
}
