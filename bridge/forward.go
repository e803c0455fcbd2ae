package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
)

// Sysctl is a kernel setting that is changed, as recorded before it is.
type Sysctl struct {
	Path string `json:"path"`          // below /proc/sys: "net/ipv4/ip_forward"
	Old  string `json:"old"`           // the value to put back
	New  string `json:"new,omitempty"` // the value to write; empty: the kernel changes it itself as a consequence
}

const procSys = "/proc/sys"

// Check tells whether a setting, as it was read from a file, can be one that [PlanForwarding] has planned: it is written by root.
func (s Sysctl) Check() error {
	if !filepath.IsLocal(s.Path) || filepath.Clean(s.Path) != s.Path || !strings.HasPrefix(s.Path, "net/ipv4/") && !strings.HasPrefix(s.Path, "net/ipv6/") {
		return fmt.Errorf("it has the kernel setting %q", s.Path)
	}
	for _, value := range []string{s.Old, s.New} {
		if len(value) > 11 || strings.Trim(value, "-0123456789") != "" {
			return fmt.Errorf("it has the value %q for the kernel setting %s", value, s.Path)
		}
	}
	return nil
}

// PlanForwarding tells what has to change for the host to forward packets, in the order of
// writing: nothing where it forwards already. Besides the switch itself it lists what the
// kernel overwrites when the switch is turned, in either direction, so that all of it is put
// back; and for IPv6 the interfaces that have to be told to go on listening to their router.
// It follows Documentation/networking/ip-sysctl.rst.
func PlanForwarding(v4, v6 bool) ([]Sysctl, error) {
	var plan []Sysctl
	if v4 {
		s, err := planForwarding("net/ipv4", "net/ipv4/ip_forward", []string{"net/ipv4/conf/all/accept_redirects"})
		if err != nil {
			return nil, fmt.Errorf("plan ipv4 forwarding: %w", err)
		}
		plan = append(plan, s...)
	}
	if v6 {
		s, err := planForwarding("net/ipv6", "net/ipv6/conf/all/forwarding", nil)
		if err != nil {
			return nil, fmt.Errorf("plan ipv6 forwarding: %w", err)
		}
		if len(s) > 0 {
			ra, err := planRouterAdverts()
			if err != nil {
				return nil, fmt.Errorf("plan ipv6 forwarding: %w", err)
			}
			s = append(ra, s...)
		}
		plan = append(plan, s...)
	}
	return plan, nil
}

// planForwarding plans one protocol's switch, with what the kernel changes along.
func planForwarding(dir, main string, along []string) ([]Sysctl, error) {
	old, err := readSysctl(main)
	if err != nil {
		return nil, err
	}
	if old != "0" {
		return nil, nil
	}
	var plan []Sysctl
	for _, path := range along {
		v, err := readSysctl(path)
		if err != nil {
			return nil, err
		}
		plan = append(plan, Sysctl{Path: path, Old: v})
	}
	devs, err := os.ReadDir(filepath.Join(procSys, dir, "conf"))
	if err != nil {
		return nil, err
	}
	for _, d := range devs {
		path := filepath.Join(dir, "conf", d.Name(), "forwarding")
		v, err := readSysctl(path)
		if errors.Is(err, fs.ErrNotExist) || d.Name() == "all" {
			continue // an interface went meanwhile
		}
		if err != nil {
			return nil, err
		}
		if v != "0" {
			plan = append(plan, Sysctl{Path: path, Old: v})
		}
	}
	return append(plan, Sysctl{Path: main, Old: old, New: "1"}), nil
}

// planRouterAdverts plans accept_ra=2 for the interfaces whose routes come from a router's
// advertisements and that would lose them.
func planRouterAdverts() ([]Sysctl, error) {
	routes, err := routesFromAdverts()
	if err != nil {
		return nil, err
	}
	var plan []Sysctl
	for _, index := range routes {
		link, err := netlink.LinkByIndex(index)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		path := filepath.Join("net/ipv6/conf", link.Attrs().Name, "accept_ra")
		v, err := readSysctl(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if v == "1" {
			plan = append(plan, Sysctl{Path: path, Old: v, New: "2"})
		}
	}
	return plan, nil
}

// routesFromAdverts lists the interfaces that have routes from router advertisements.
func routesFromAdverts() ([]int, error) {
	var routes []netlink.Route
	var err error
	for range 5 { // a dump is cut short when routes change under it
		routes, err = netlink.RouteListFiltered(netlink.FAMILY_V6,
			&netlink.Route{Protocol: unix.RTPROT_RA, Table: unix.RT_TABLE_UNSPEC},
			netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list ipv6 routes: %w", err)
	}
	var indexes []int
	for _, r := range routes {
		if r.LinkIndex != 0 {
			indexes = append(indexes, r.LinkIndex)
		}
		for _, hop := range r.MultiPath {
			indexes = append(indexes, hop.LinkIndex)
		}
	}
	slices.Sort(indexes)
	return slices.Compact(indexes), nil
}

// ApplySysctls writes the new values in order. After a failure what was written stays
// written: RestoreSysctls takes it back.
func ApplySysctls(plan []Sysctl) error {
	for _, s := range plan {
		if s.New == "" {
			continue
		}
		if err := writeSysctl(s.Path, s.New); err != nil {
			return fmt.Errorf("set %s to %s: %w", s.Path, s.New, err)
		}
	}
	return nil
}

// RestoreSysctls puts the old values back, last first, which the order of a plan is made for.
// A value that somebody else changed after ApplySysctls is left to them, and an interface that
// is gone needs nothing. It goes on after a failure.
func RestoreSysctls(plan []Sysctl) error {
	var errs []error
	for _, s := range slices.Backward(plan) {
		now, err := readSysctl(s.Path)
		if err == nil && now != s.Old && (s.New == "" || now == s.New) {
			err = writeSysctl(s.Path, s.Old)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("set %s back to %s: %w", s.Path, s.Old, err))
		}
	}
	return errors.Join(errs...)
}

func readSysctl(path string) (string, error) {
	b, err := os.ReadFile(filepath.Join(procSys, path))
	return strings.TrimSpace(string(b)), err
}

func writeSysctl(path, value string) error {
	if err := failpoint.Hit("sysctl", path); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(procSys, path), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
