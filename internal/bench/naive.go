package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// naive is a star of containers written straight down in Go, one node after the other and each call
// waited for: clone with all namespaces but the user's, overlay root, proc, sysfs, pivot_root, a
// veth pair, a bridge port, an address, and the kernel's defaults for all else.
type naive struct {
	dir   string
	nodes []*exec.Cmd
	life  []io.Closer // each node ends when its pipe does
}

func (c *naive) up(ctx context.Context, n int) (time.Duration, error) {
	start := time.Now()
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = "naive0"
	if err := netlink.LinkAdd(bridge); err != nil {
		return 0, fmt.Errorf("add bridge: %w", err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return 0, fmt.Errorf("set bridge up: %w", err)
	}
	for i := 1; i <= n; i++ {
		if err := c.addNode(ctx, bridge, i); err != nil {
			return 0, fmt.Errorf("add node %d: %w", i, err)
		}
	}
	return time.Since(start), nil
}

// addNode starts a node, waits until it has its root, and wires it.
func (c *naive) addNode(ctx context.Context, bridge netlink.Link, i int) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = []string{envRole + "=" + roleNaive, "NSNET_BENCH_DIR=" + filepath.Join(c.dir, "naive")}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
			unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.nodes, c.life = append(c.nodes, cmd), append(c.life, in)
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for node: %w", err)
	}
	return wire(bridge, cmd.Process.Pid, i)
}

// wire joins the network namespace of a process to the bridge, with one call for each step.
func wire(bridge netlink.Link, pid, i int) error {
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "eth0", PeerNamespace: netlink.NsPid(pid)}
	veth.Name = "v" + strconv.Itoa(i)
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add link: %w", err)
	}
	if err := netlink.LinkSetMaster(veth, bridge); err != nil {
		return fmt.Errorf("set bridge of link: %w", err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return fmt.Errorf("set link up: %w", err)
	}
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("open namespace: %w", err)
	}
	defer func() { _ = ns.Close() }()
	inside, err := netlink.NewHandleAt(ns)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer inside.Close()
	for _, name := range []string{"lo", "eth0"} {
		link, err := inside.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if name == "eth0" {
			addr := &netlink.Addr{IPNet: &net.IPNet{IP: address(i).AsSlice(), Mask: net.CIDRMask(16, 32)}}
			if err := inside.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("add address: %w", err)
			}
		}
		if err := inside.LinkSetUp(link); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	return nil
}

func (c *naive) ping(ctx context.Context, i int, to netip.Addr) error {
	pid := strconv.Itoa(c.nodes[i-1].Process.Pid)
	_, err := output(ctx, "nsenter", "--net", "--target", pid, "ping", "-n", "-c", "1", "-W", "2", to.String())
	return err
}

func (c *naive) down(context.Context, int) (time.Duration, error) {
	start := time.Now()
	var failed error
	for i, cmd := range c.nodes {
		failed = errors.Join(failed, c.life[i].Close(), cmd.Wait())
	}
	c.nodes, c.life = nil, nil
	bridge, err := netlink.LinkByName("naive0")
	if err != nil {
		return 0, errors.Join(failed, err)
	}
	// The kernel destroys namespaces, and the links that end in them, in its own time.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		links, err := netlink.LinkList()
		if err == nil && !hasPorts(links, bridge.Attrs().Index) {
			break
		}
		if time.Now().After(deadline) {
			return 0, errors.Join(failed, errors.New("links stay"), err)
		}
	}
	return time.Since(start), errors.Join(failed, netlink.LinkDel(bridge))
}

func hasPorts(links []netlink.Link, bridge int) bool {
	for _, l := range links {
		if l.Attrs().MasterIndex == bridge {
			return true
		}
	}
	return false
}

// naiveNode is PID 1 of a naive node: it makes its root, says so, and idles.
func naiveNode() error {
	base := os.Getenv("NSNET_BENCH_DIR")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	upper, work, root := filepath.Join(base, "u"), filepath.Join(base, "w"), filepath.Join(base, "r")
	for _, dir := range []string{upper, work, root} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir="+upper+",workdir="+work); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	if err := unix.Mount("proc", root+"/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := unix.Mount("sysfs", root+"/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	// With the old root on top of the new one, no directory for it is needed; pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount old root: %w", err)
	}
	if _, err := os.Stdout.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
