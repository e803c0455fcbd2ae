package engines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// FlagRemap as a flag of Docker, gives containers' root an id of its own, in a user namespace.
const FlagRemap = "--userns-remap=nobody:nogroup"

// subnet6 is docker0's IPv6 subnet, as 172.17.0.0/16 is its other.
const subnet6 = "fd00:172:17::/64"

// Docker starts a Docker Engine with both address families on docker0, and with these flags of dockerd. All its control
// groups are below the one called parent, which must be its own.
func Docker(ctx context.Context, parent string, flags ...string) (*Engine, error) {
	dir, err := makeDir()
	if err != nil {
		return nil, err
	}
	e := &Engine{Name: "docker", Dir: dir, Socket: filepath.Join(dir, "docker.sock"), parent: parent, env: environment()}
	config := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		return nil, err
	}
	if slices.Contains(flags, FlagRemap) {
		if err := e.subordinateIDs(); err != nil {
			return nil, err
		}
	}
	e.client = []string{"docker", "--config", filepath.Join(dir, "client"), "--host", "unix://" + e.Socket}
	e.daemon = append([]string{
		"dockerd", "--host", "unix://" + e.Socket, "--config-file", config,
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--cgroup-parent", "/" + parent, "--exec-opt", "native.cgroupdriver=cgroupfs",
		"--ipv6", "--fixed-cidr-v6", subnet6,
	}, flags...)
	if _, err := start(ctx, e, "/etc/docker"); err != nil {
		return nil, err
	}
	if err := firstPort(); err != nil {
		return nil, errors.Join(fmt.Errorf("start docker: %w", err), e.Stop())
	}
	return e, nil
}

// firstPort gives docker0 what it gets later and then keeps, so that a look at it finds no difference: with the first
// container IPv6 addresses that are in use, with the first restart of dockerd another route to its IPv6 subnet.
func firstPort() error {
	bridge, err := netlink.LinkByName("docker0")
	if err != nil {
		return fmt.Errorf("find docker0: %w", err)
	}
	_, subnet, err := net.ParseCIDR(subnet6)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: bridge.Attrs().Index, Dst: subnet, Scope: netlink.SCOPE_UNIVERSE}
	if err := netlink.RouteAdd(route); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("add the second route: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.Flags = "nsnet-e0", bridge.Attrs().Index, net.FlagUp
	port := &netlink.Veth{LinkAttrs: attrs, PeerName: "nsnet-e1"}
	if err := netlink.LinkAdd(port); err != nil {
		return fmt.Errorf("make a port: %w", err)
	}
	peer, err := netlink.LinkByName(port.PeerName)
	if err == nil {
		err = netlink.LinkSetUp(peer)
	}
	if err == nil {
		err = addressesReady(bridge)
	}
	return errors.Join(err, netlink.LinkDel(port))
}

// bridgeReady waits until docker0, if it is there and has ports, has noticed that: until then it drops what the host
// sends, for up to a second, as the kernel looks at changed carriers once in a second.
func bridgeReady() error {
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		var bridge netlink.Link
		for _, l := range links {
			if l.Attrs().Name == "docker0" {
				bridge = l
			}
		}
		if bridge == nil || bridge.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if !slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Attrs().MasterIndex == bridge.Attrs().Index }) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("docker0 has ports and does not come up")
		}
	}
}

// addressesReady waits for the bridge's link-local address, and until none is being detected.
func addressesReady(bridge netlink.Link) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		addrs, err := netlink.AddrList(bridge, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		ready := 0
		for _, a := range addrs {
			if a.Flags&unix.IFA_F_TENTATIVE == 0 {
				ready++
			}
		}
		// The one that was asked for, fe80::1, and the one of the hardware address.
		if ready == len(addrs) && ready >= 3 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("IPv6 addresses of docker0 do not become ready: %v", addrs)
		}
	}
}

// subordinateIDs lets dockerd find ids for FlagRemap, by files over the machine's which this mount namespace alone
// sees. Of nobody and nogroup, older versions of Docker take the group's name for group ids.
func (e *Engine) subordinateIDs() error {
	path := filepath.Join(e.Dir, "subid")
	if err := os.WriteFile(path, []byte("nobody:1500000:65536\nnogroup:1500000:65536\n"), 0o644); err != nil {
		return err
	}
	for _, over := range []string{"/etc/subuid", "/etc/subgid"} {
		if err := unix.Mount(path, over, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s over %s: %w", path, over, err)
		}
		e.hidden = append(e.hidden, over)
	}
	return nil
}
