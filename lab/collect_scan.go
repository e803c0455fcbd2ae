package lab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/dns"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab/wiring"
)

// livingInits are the lab inits that live, whoever has their records: the labs' names by pid.
func livingInits(proc string) (map[int]string, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	labs := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(proc, e.Name(), "comm"))
		if err != nil || !maybeInit(strings.TrimSpace(string(comm))) {
			continue
		}
		if name := labOf(proc, pid); name != "" {
			labs[pid] = name
		}
	}
	return labs, nil
}

// labOf returns the lab whose init a process says it is, by its arguments: empty for any other, and for one that has ended.
func labOf(proc string, pid int) string {
	args, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(args), "\x00")
	name, ok := strings.CutPrefix(first, initTitle)
	if !ok {
		return ""
	}
	return name
}

// orphanNetns are names of network namespaces that lead nowhere. They are known by what they point to: nobody else names
// descriptors. A fabric's that an older nsnet has made looks like what others write by hand, and is nsnet's if a node's with the same pid is
// beside it.
func orphanNetns(used names) ([]Leftover, error) {
	entries, err := os.ReadDir(NetnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	descriptor, fabric := regexp.MustCompile(`^/proc/(\d+)/fd/\d+$`), regexp.MustCompile(`^/proc/(\d+)/ns/net$`)
	pids := map[string]string{} // by name
	var all []Leftover
	add := func(name, lab string) {
		path := filepath.Join(NetnsDir, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return
		}
		all = append(all, Leftover{Kind: "netns", Name: path, Lab: lab, remove: func(context.Context) error { return ignoreGone(os.Remove(path)) }})
	}
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(NetnsDir, e.Name()))
		m := descriptor.FindStringSubmatch(target)
		if m == nil || used.has(e.Name()) || used.hasOneOf(e.Name()) {
			continue
		}
		pids[e.Name()] = m[1]
		lab, _, _ := strings.Cut(e.Name(), ".")
		add(e.Name(), lab)
	}
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(NetnsDir, e.Name()))
		m := fabric.FindStringSubmatch(target)
		if m == nil || used.has(e.Name()) || used.hasOneOf(e.Name()) {
			continue
		}
		for name, pid := range pids {
			if pid == m[1] && strings.HasPrefix(name, e.Name()+".") {
				add(e.Name(), e.Name())
				break
			}
		}
	}
	return all, nil
}

// orphanFiles are resolv.conf files for ip netns exec of namespaces that have no name any more.
func orphanFiles(used names) ([]Leftover, error) {
	marked, err := dns.Marked(EtcNetns)
	if err != nil {
		return nil, err
	}
	var all []Leftover
	for _, name := range marked {
		lab, node, ok := strings.Cut(name, ".")
		if !ok || used.hasOneOf(name) {
			continue
		}
		all = append(all, Leftover{Kind: "resolv.conf", Name: filepath.Join(EtcNetns, name), Lab: lab,
			remove: func(context.Context) error { return dns.RemoveNetns(EtcNetns, lab, node) }})
	}
	return all, nil
}

// orphanLinks are interfaces of the host with a lab's mark. The kernel removes them with the lab's fabric, unless somebody holds
// that open.
func orphanLinks(used names) ([]Leftover, error) {
	c, err := rtnl.Dial(nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	var all []Leftover
	for _, l := range links {
		mark := strings.SplitN(l.Alias, ":", 3)
		if len(mark) < 3 || mark[0] != "nsnet" || wiring.Attached(l.Alias) || used.has(mark[1]) {
			continue
		}
		all = append(all, Leftover{Kind: "link", Name: l.Name, Lab: mark[1], remove: func(context.Context) error {
			c, err := rtnl.Dial(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			return ignoreGone(c.Do(rtnl.DeleteIndex(l.Index, "delete "+l.Name)))
		}})
	}
	return all, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// maybeInit reports whether a lab's init may have a process's name. Those of older nsnets had a descriptor's number, now and then.
func maybeInit(comm string) bool {
	_, err := strconv.Atoi(comm)
	return comm == "nsnet-lab" || err == nil
}
