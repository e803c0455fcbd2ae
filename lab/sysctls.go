package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/wiring"
	"github.com/nsnet/nsnet/topology"
)

// ofNetwork tells a sysctl that belongs to a network namespace, and so can be read and set from outside
// of the node by who enters that alone.
func ofNetwork(key string) bool { return !container.OfIPC(key) }

// startSysctls are those that only a node's own init can set, at its start; nil where there is none.
func startSysctls(all map[string]string) map[string]string {
	var out map[string]string
	for k, v := range all {
		if !ofNetwork(k) {
			if out == nil {
				out = map[string]string{}
			}
			out[k] = v
		}
	}
	return out
}

// netns opens a node's network namespace.
func (o *observed) netns(node string) (*os.File, error) {
	fd, err := o.Open(wiring.Place(node))
	if err != nil {
		return nil, &Error{Node: node, Op: "enter its network namespace", Err: err}
	}
	return os.NewFile(uintptr(fd), "netns"), nil
}

// in runs f in a place's network namespace.
func (o *observed) in(p wiring.Place, f func() error) error {
	if p == wiring.Host {
		return f()
	}
	ns, err := o.netns(string(p))
	if err != nil {
		return err
	}
	defer ns.Close()
	return rtnl.In(ns, f)
}

// readSysctls reads the sysctls of the network that the file sets, of nodes that run. It returns as missing the error for the first that
// is not there, as when a node is started. Of interfaces that are to come, those of new interfaces stand for theirs.
func (o *observed) readSysctls(want *topology.Lab, toCome bool) (out map[string]map[string]string, missing, err error) {
	out = map[string]map[string]string{}
	for i := range want.Nodes {
		n := &want.Nodes[i]
		if o.nodes[n.Name] == nil || len(n.Sysctls) == 0 {
			continue
		}
		ns, err := o.netns(n.Name)
		if err != nil {
			return nil, nil, err
		}
		got, lacks := map[string]string{}, ""
		err = rtnl.In(ns, func() error {
			for _, k := range slices.Sorted(maps.Keys(n.Sysctls)) {
				if !ofNetwork(k) {
					continue
				}
				path := "/proc/sys/" + container.SysctlPath(k)
				b, err := os.ReadFile(path)
				if err == nil {
					got[k] = strings.Join(strings.Fields(string(b)), " ")
					continue
				}
				if toCome {
					path = "/proc/sys/" + inGeneral(k)
				}
				if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && lacks == "" {
					lacks = k
				}
			}
			return nil
		})
		_ = ns.Close()
		if err != nil {
			return nil, nil, &Error{Node: n.Name, Op: "read its sysctls", Err: err}
		}
		if lacks != "" && missing == nil {
			missing = noSysctl(n.Name, lacks)
		}
		out[n.Name] = got
	}
	return out, missing, nil
}

// noSysctl is the error for a sysctl that a node has not. It looks whether the host has it.
func noSysctl(node, key string) error {
	if path := container.SysctlPath(key); path == inGeneral(key) && ofNetwork(key) {
		if _, err := os.Lstat("/proc/sys/" + path); err == nil {
			return &Error{Node: node, Op: "set sysctl", Object: key, Err: fmt.Errorf("%w: it is of the whole machine, and no node has one of its own", ErrUnsupported), Remedy: "take it out of the file, and set it on the host"}
		}
	}
	return &Error{Node: node, Op: "set sysctl", Object: key, Err: fmt.Errorf("%w: no such sysctl, or no such interface", ErrUnsupported), Remedy: "mend its name, or load the kernel's module that brings it"}
}

// inGeneral is the path of a sysctl below /proc/sys, of one of an interface that for new interfaces.
func inGeneral(key string) string {
	path := strings.Split(container.SysctlPath(key), "/")
	if len(path) == 5 && (path[2] == "conf" || path[2] == "neigh") && path[3] != "all" {
		path[3] = "default"
	}
	return strings.Join(path, "/")
}

// setSysctls sets sysctls of the network in a node that runs. Those of reset may be of interfaces that are gone, or whose MTU has
// taken IPv6 from them.
func (o *observed) setSysctls(node string, set, reset map[string]string) error {
	ns, err := o.netns(node)
	if err != nil {
		return err
	}
	defer ns.Close()
	all := maps.Clone(reset)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, set)
	return rtnl.In(ns, func() error {
		for _, k := range container.SysctlOrder(all) {
			err := failpoint.Hit("sysctl", k)
			if err == nil {
				err = os.WriteFile(filepath.Join("/proc/sys", container.SysctlPath(k)), []byte(all[k]), 0)
			}
			if errors.Is(err, fs.ErrNotExist) {
				if _, wanted := set[k]; !wanted {
					continue
				}
				return noSysctl(node, k)
			}
			if err != nil {
				return &Error{Node: node, Op: "set sysctl", Object: k, Err: err}
			}
		}
		return nil
	})
}

// ipv6On turns IPv6 on where it is off and steps give an interface of a node that stays, or a leg of the host, an IPv6 address, which
// the kernel refuses there: a file before had it off, or somebody has turned it off. It returns the steps that are left.
func (o *observed) ipv6On(steps []wiring.Step, fresh map[string]*topology.Node) ([]wiring.Step, error) {
	given := map[wiring.Place]map[string]bool{} // which interfaces
	for i := range steps {
		s := &steps[i]
		stays := s.Place == wiring.Host || o.nodes[string(s.Place)] != nil && fresh[string(s.Place)] == nil
		if s.Verb != wiring.AddAddress || !s.Address.Addr().Is6() || !stays {
			continue
		}
		if given[s.Place] == nil {
			given[s.Place] = map[string]bool{}
		}
		given[s.Place][s.Link] = true
	}
	for p, links := range given {
		var on []string
		err := o.in(p, func() error {
			for link := range links {
				path := filepath.Join("/proc/sys/net/ipv6/conf", link, "disable_ipv6")
				if b, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(b)) == "0" {
					continue // it is not there yet, or on
				}
				err := failpoint.Hit("sysctl", path)
				if err == nil {
					err = os.WriteFile(path, []byte("0"), 0)
				}
				if err != nil {
					return &wiring.Error{Place: p, Op: "turn on IPv6", Object: "of " + link, Err: err}
				}
				on = append(on, link)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if slices.Contains(on, "lo") { // the kernel has given it its address
			steps = slices.DeleteFunc(steps, func(s wiring.Step) bool {
				given := s.Verb == wiring.AddAddress && s.Place == p && s.Link == "lo" && s.Address.Addr().Is6()
				if given {
					s.Done()
				}
				return given
			})
		}
	}
	return steps, nil
}

// defaultSysctls are the values that nodes have of sysctls which no file sets: nsnet's own, or those of a
// new network namespace. What is an interface's has there the value for new interfaces, but for what the lab's own have.
func defaultSysctls(keys []string) (map[string]string, error) {
	out := map[string]string{}
	for _, kv := range container.DefaultSysctls() {
		if slices.Contains(keys, kv[0]) {
			out[kv[0]] = kv[1]
		}
	}
	for _, k := range keys {
		path := strings.Split(container.SysctlPath(k), "/")
		if len(path) != 5 || path[1] != "ipv6" || path[2] != "conf" || path[3] == "all" || path[3] == "default" {
			continue
		}
		for _, kv := range wiring.InterfaceSysctls(&topology.Node{}, path[3]) {
			if kv[0] == path[4] {
				out[k] = kv[1]
			}
		}
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		for _, k := range keys {
			if _, ok := out[k]; ok {
				continue
			}
			if b, err := os.ReadFile("/proc/sys/" + inGeneral(k)); err == nil {
				out[k] = strings.TrimSpace(string(b))
			}
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		return nil, &Error{Op: "look at a new network namespace's sysctls", Err: err}
	}
	return out, nil
}
