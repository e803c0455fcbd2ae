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

// Check refuses a setting that [PlanForwarding] cannot have planned. It comes from a file, and root writes it.
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

// ours is the value that turns forwarding on for labs, where it is off. To the kernel it is as good as 1. But whoever wants
// forwarding for himself finds it to be another value than the 1 that he wants, and sets that: so it is known who has turned it on, and it
// stays when no lab needs it any more.
const ours = "2"

// Forwarding is what the host forwards and has to forward.
type Forwarding struct {
	// Sysctls are what has to change, in the order of writing: nothing where the host forwards already. Besides the switch itself they list
	// what the kernel overwrites when the switch is turned, in either direction, so that all of it is put
	// back; and for IPv6 the interfaces that have to be told to go on listening to their router.
	Sysctls []Sysctl
	// Borrowed are the families that the host then forwards for labs alone. Between its other interfaces it is not to: see NewTransit.
	Borrowed []Family
	Routers  map[Family][]string // interfaces that have forwarded nonetheless, before any lab
}

// PlanForwarding finds what has to change for the host to forward packets of these families by the switch of all interfaces.
// It follows Documentation/networking/ip-sysctl.rst.
func PlanForwarding(families []Family) (Forwarding, error) {
	f := Forwarding{Routers: map[Family][]string{}}
	if slices.Contains(families, IPv4) {
		if err := f.plan(IPv4, "net/ipv4", "net/ipv4/ip_forward", []string{"net/ipv4/conf/all/accept_redirects"}); err != nil {
			return f, fmt.Errorf("plan ipv4 forwarding: %w", err)
		}
	}
	if slices.Contains(families, IPv6) {
		if err := f.plan(IPv6, "net/ipv6", "net/ipv6/conf/all/forwarding", nil); err != nil {
			return f, fmt.Errorf("plan ipv6 forwarding: %w", err)
		}
	}
	return f, nil
}

// plan plans one protocol's switch, with what the kernel changes along.
func (f *Forwarding) plan(family Family, dir, main string, along []string) error {
	old, err := readSysctl(main)
	if err != nil {
		return err
	}
	if old == ours {
		f.Borrowed = append(f.Borrowed, family)
	}
	if old != "0" {
		return nil
	}
	f.Borrowed = append(f.Borrowed, family)
	if family == IPv6 {
		ra, err := planRouterAdverts()
		if err != nil {
			return err
		}
		f.Sysctls = append(f.Sysctls, ra...)
	}
	for _, path := range along {
		v, err := readSysctl(path)
		if err != nil {
			return err
		}
		f.Sysctls = append(f.Sysctls, Sysctl{Path: path, Old: v})
	}
	devs, err := os.ReadDir(filepath.Join(procSys, dir, "conf"))
	if err != nil {
		return err
	}
	for _, d := range devs {
		path := filepath.Join(dir, "conf", d.Name(), "forwarding")
		v, err := readSysctl(path)
		if errors.Is(err, fs.ErrNotExist) || d.Name() == "all" || family == IPv4 && OwnName(d.Name()) {
			continue // an interface went meanwhile, and legs are set as labs need them, see ForwardLegs
		}
		if err != nil {
			return err
		}
		if v != "0" {
			f.Sysctls = append(f.Sysctls, Sysctl{Path: path, Old: v})
			if family == IPv4 && d.Name() != "default" { // for IPv6 the switch of all alone forwards
				f.Routers[family] = append(f.Routers[family], d.Name())
			}
		}
	}
	f.Sysctls = append(f.Sysctls, Sysctl{Path: main, Old: old, New: ours})
	return nil
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
// A value that somebody else changed after ApplySysctls is left to them, with a switch all that came with it, and an interface that
// is gone needs nothing. It goes on after a failure.
func RestoreSysctls(plan []Sysctl) error {
	var errs []error
	taken := false // the switch that these came with is somebody else's now
	for _, s := range slices.Backward(plan) {
		now, err := readSysctl(s.Path)
		if isSwitch(s.Path) {
			taken = err == nil && now != s.Old && now != s.New
		}
		if err == nil && !taken && now != s.Old && (s.New == "" || now == s.New) {
			err = writeSysctl(s.Path, s.Old)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("set %s back to %s: %w", s.Path, s.Old, err))
		}
	}
	return errors.Join(errs...)
}

// legSwitch is the setting by which the host forwards what comes in by a leg over IPv4, whatever it does with other interfaces'.
// ip_route_input_slow of net/ipv4/route.c asks for the incoming interface's alone.
func legSwitch(leg string) string { return "net/ipv4/conf/" + leg + "/forwarding" }

// PlanLegs finds which of a lab's legs, if they are there, do not forward IPv4 as they are to: each by a switch of its own, or as the
// host has new interfaces do. What it plans goes with the legs and needs no record; ApplySysctls carries it out.
func PlanLegs(legs []string, on bool) (plan []Sysctl, err error) {
	want := "1"
	for _, leg := range legs {
		now, err := readSysctl(legSwitch(leg))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !on {
			if now == "0" {
				continue
			}
			want, err = readSysctl(legSwitch("default"))
		}
		if err != nil {
			return nil, fmt.Errorf("look whether %s forwards: %w", leg, err)
		}
		if (now == "0") != (want == "0") {
			plan = append(plan, Sysctl{Path: legSwitch(leg), Old: now, New: want})
		}
	}
	return plan, nil
}

// ForwardLegs has the host forward what comes in by legs over IPv4. Those that are not there need nothing.
func ForwardLegs(legs []string) error {
	plan, err := PlanLegs(legs, true)
	for _, s := range plan {
		if werr := writeSysctl(s.Path, s.New); !errors.Is(werr, fs.ErrNotExist) {
			err = errors.Join(err, werr)
		}
	}
	return err
}

func isSwitch(path string) bool {
	return path == "net/ipv4/ip_forward" || path == "net/ipv6/conf/all/forwarding"
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
