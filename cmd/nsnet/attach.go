package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/attach"
	"github.com/nsnet/nsnet/attach/engine"
)

// targetOptions name a container.
type targetOptions struct {
	PID       int
	Netns     string
	Container string
	Node      string
}

// AddFlags adds the options to f, with prefix for a second target.
func (o *targetOptions) AddFlags(f *pflag.FlagSet, prefix, whose string) {
	f.IntVar(&o.PID, prefix+"pid", 0, whose+" is the container of process `N`")
	f.StringVar(&o.Netns, prefix+"netns", "", whose+" is the network namespace at `PATH`")
	f.StringVar(&o.Container, prefix+"container", "", whose+" is the container `NAME` of Docker or podman (docker:NAME, podman:NAME)")
	f.StringVar(&o.Node, prefix+"node", "", whose+" is the node `LAB/NODE` of a lab that runs")
}

// refs are the targets that were named: there should be one.
func (o *targetOptions) refs(cmd *cobra.Command, prefix string) (refs []attach.Ref) {
	if cmd.Flags().Changed(prefix + "pid") {
		refs = append(refs, attach.Ref{Kind: attach.ByPID, Name: fmt.Sprint(o.PID)})
	}
	for _, r := range []attach.Ref{{Kind: attach.ByNetns, Name: o.Netns}, {Kind: attach.ByContainer, Name: o.Container}, {Kind: attach.ByNode, Name: o.Node}} {
		if cmd.Flags().Changed(prefix + string(r.Kind)) {
			refs = append(refs, r)
		}
	}
	return refs
}

// one is the target that was named.
func (o *targetOptions) one(cmd *cobra.Command, prefix string) (attach.Ref, error) {
	refs := o.refs(cmd, prefix)
	choice := fmt.Sprintf("--%[1]spid, --%[1]snetns, --%[1]scontainer or --%[1]snode", prefix)
	switch {
	case len(refs) == 0:
		return attach.Ref{}, usagef(cmd, "the target is missing: %s", choice)
	case len(refs) > 1:
		return attach.Ref{}, usagef(cmd, "more than one target: give one of %s", choice)
	case refs[0].Name == "":
		return attach.Ref{}, usagef(cmd, "--%s%s is empty", prefix, refs[0].Kind)
	}
	return refs[0], nil
}

type attachOptions struct {
	Target       targetOptions
	Peer         targetOptions
	Interface    string
	IP           []string
	Bridge       string
	PeerIP       []string
	PeerIfname   string
	MACVLAN      string
	MACVLANMode  string
	HostNIC      string
	Gateway      []string
	DefaultRoute bool
	Metric       int
	Route        []string
	MAC          string
	MTU          int
	VLAN         int
	DNS          []string
	IfAbsent     bool
	Replace      bool
	DryRun       bool
	JSON         bool
}

// AddFlags adds the options to f.
func (o *attachOptions) AddFlags(f *pflag.FlagSet) {
	o.Target.AddFlags(f, "", "the target")
	f.StringVar(&o.Interface, "ifname", "eth1", "the interface's `NAME` in the target; without it the first of eth1, eth2 ... that is free")
	f.StringArrayVar(&o.IP, "ip", nil, "an address with its mask, `A/LEN`, or auto: one of each pool of a lab's bridge (repeatable)")
	f.StringVar(&o.Bridge, "bridge", "", "plug into the bridge `NAME` of the host, or LAB/NAME of a lab")
	o.Peer.AddFlags(f, "peer-", "point to point; the other end")
	f.StringVar(&o.PeerIfname, "peer-ifname", "eth1", "the interface's `NAME` at the other end; without it the first that is free")
	f.StringArrayVar(&o.PeerIP, "peer-ip", nil, "an address of the other end, `A/LEN`; without a second target that is the host's (repeatable)")
	f.StringVar(&o.MACVLAN, "macvlan", "", "a macvlan of the host's interface `PARENT`")
	f.StringVar(&o.MACVLANMode, "macvlan-mode", "bridge", "its `MODE`: bridge, private, vepa or passthru")
	f.StringVar(&o.HostNIC, "host-nic", "", "the host's interface `NAME` itself moves in; detach brings it back as it was")
	f.StringArrayVar(&o.Gateway, "gateway", nil, "next hop `IP` of the default route and of routes without one (one of each family)")
	f.BoolVar(&o.DefaultRoute, "default-route", false, "the default route leads through it; detach puts the former one back")
	f.IntVar(&o.Metric, "metric", 0, "metric `N` of the default route, which then stands beside the former one")
	f.StringArrayVar(&o.Route, "route", nil, "a route, `DST[,VIA]` (repeatable)")
	f.StringVar(&o.MAC, "mac", "", "hardware address `MAC` of the interface")
	f.IntVar(&o.MTU, "mtu", 0, "MTU `N` of the link (default that of the bridge or parent)")
	f.IntVar(&o.VLAN, "vlan", 0, "VLAN `N` of the bridge's port, for a bridge that filters them")
	f.StringArrayVar(&o.DNS, "dns", nil, "nameserver `IP` in the target's resolv.conf in place of its own (repeatable)")
	f.BoolVar(&o.IfAbsent, "if-absent", false, "do nothing when the target has an interface of that name")
	f.BoolVar(&o.Replace, "replace", false, "take away an interface of that name that nsnet attached before")
	f.BoolVar(&o.DryRun, "dry-run", false, "print what would be done, change nothing")
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON, as a CNI plugin does (version 1.1.0)")
	f.SortFlags = false
}

func newAttach(std stdio) *cobra.Command {
	var o attachOptions
	cmd := &cobra.Command{
		Use:     "attach TARGET [VIA] [--ifname eth1] --ip A/LEN [flags]",
		GroupID: groupNode,
		Short:   "Give a running container a network interface",
		Long: `Give a container that runs one more network interface: Docker's, podman's, a lab's
node, any process's. It is there wholly or, when something fails or nsnet is killed,
not at all.

TARGET is one of
  --pid N | --netns PATH | --container NAME | --node LAB/NODE

VIA says what it is connected with
  --bridge NAME             a bridge of the host (docker0), or of a lab (LAB/lan0)
  --peer-pid N, --peer-netns PATH, --peer-container NAME, --peer-node LAB/NODE
                            a second target, point to point: --peer-ip, --peer-ifname
  --macvlan PARENT          an interface of the host, shared
  --host-nic NAME           an interface of the host, which moves in
  nothing of these          the host, point to point: --peer-ip is the host's end

Each end of a point-to-point link gets a route to the other's addresses. The default
route moves only with --default-route. The same call again changes nothing; another one
for the same interface is refused and says how it differs. An attached interface is gone
with its container.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitConflict, exitPermission, exitUnsupported, exitNotRunning, exitSignal),
		Example: `  nsnet attach --container web --bridge docker0 --ip 172.17.0.9/16
  nsnet attach --container web --bridge demo/lan0 --ip auto --default-route
  nsnet attach --container a --ip 10.1.1.1/32 --peer-container b --peer-ip 10.1.1.2/32
  nsnet attach --pid 9166 --ip 10.2.0.2/32 --ip fd00:2::2/128 --peer-ip 10.2.0.1/32 --peer-ip fd00:2::1/128
  nsnet attach --pid 9166 --macvlan eth0 --ip 192.168.1.9/24
  nsnet attach --node demo/web --host-nic eth3 --ifname wan --ip 203.0.113.2/24`,
		DisableFlagsInUseLine: true,
		Args:                  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := o.request(cmd)
			if err != nil {
				return err
			}
			ctx, stop := withSignals(cmd.Context())
			defer stop()
			return interrupted(ctx, engineUsage(cmd, runAttach(ctx, o, q, attach.Options{IfAbsent: o.IfAbsent, Replace: o.Replace, DryRun: o.DryRun,
				AnyName: !cmd.Flags().Changed("ifname"), AnyPeerName: !cmd.Flags().Changed("peer-ifname")}, std)))
		},
	}
	o.AddFlags(cmd.Flags())
	completeTargets(cmd, "")
	completeTargets(cmd, "peer-")
	return cmd
}

// request is what the flags mean.
func (o *attachOptions) request(cmd *cobra.Command) (*attach.Request, error) {
	q := &attach.Request{Interface: o.Interface, DefaultRoute: o.DefaultRoute, Metric: o.Metric, MAC: o.MAC, MTU: o.MTU, VLAN: o.VLAN}
	var err error
	if q.Target, err = o.Target.one(cmd, ""); err != nil {
		return nil, err
	}
	if q.Via, err = o.via(cmd); err != nil {
		return nil, err
	}
	for _, s := range o.IP {
		if s == "auto" {
			q.Auto = true
			continue
		}
		p, err := parseAddress(cmd, "--ip", s)
		if err != nil {
			return nil, err
		}
		q.Addresses = append(q.Addresses, p)
	}
	for _, s := range o.PeerIP {
		p, err := parseAddress(cmd, "--peer-ip", s)
		if err != nil {
			return nil, err
		}
		q.Via.Addresses = append(q.Via.Addresses, p)
	}
	if q.Gateways, err = parseIPs(cmd, "--gateway", o.Gateway); err != nil {
		return nil, err
	}
	if q.DNS, err = parseIPs(cmd, "--dns", o.DNS); err != nil {
		return nil, err
	}
	for _, s := range o.Route {
		r, err := parseRoute(cmd, s)
		if err != nil {
			return nil, err
		}
		q.Routes = append(q.Routes, r)
	}
	if o.IfAbsent && o.Replace {
		return nil, usagef(cmd, "--if-absent and --replace exclude each other")
	}
	if err := q.Check(); err != nil {
		return nil, usagef(cmd, "%v", err)
	}
	return q, nil
}

// via is what the interface is connected with: one thing at the most.
func (o *attachOptions) via(cmd *cobra.Command) (attach.Via, error) {
	peers := o.Peer.refs(cmd, "peer-")
	var given []string
	for _, name := range []string{"bridge", "macvlan", "host-nic", "peer-pid", "peer-netns", "peer-container", "peer-node"} {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	switch {
	case len(given) > 1:
		return attach.Via{}, usagef(cmd, "%s exclude each other", strings.Join(given, " and "))
	case len(peers) == 1:
		ref, err := o.Peer.one(cmd, "peer-")
		return attach.Via{Kind: attach.ViaPeer, Peer: ref, Interface: o.PeerIfname}, err
	case cmd.Flags().Changed("peer-ifname"):
		return attach.Via{}, usagef(cmd, "--peer-ifname is of a second target: give --peer-container, --peer-pid, --peer-netns or --peer-node")
	case cmd.Flags().Changed("macvlan-mode") && o.MACVLAN == "":
		return attach.Via{}, usagef(cmd, "--macvlan-mode is of --macvlan PARENT")
	case len(given) == 0:
		return attach.Via{Kind: attach.ViaHost}, nil
	}
	v := attach.Via{}
	switch given[0] {
	case "--bridge":
		v.Kind, v.Name = attach.ViaBridge, o.Bridge
		if name, bridge, ok := strings.Cut(o.Bridge, "/"); ok {
			v.Lab, v.Name = name, bridge
		}
	case "--macvlan":
		v.Kind, v.Name, v.Mode = attach.ViaMACVLAN, o.MACVLAN, o.MACVLANMode
		switch o.MACVLANMode {
		case "bridge", "private", "vepa", "passthru":
		default:
			return v, usagef(cmd, "--macvlan-mode %q: bridge, private, vepa or passthru", o.MACVLANMode)
		}
	case "--host-nic":
		v.Kind, v.Name = attach.ViaNIC, o.HostNIC
	}
	if v.Name == "" {
		return v, usagef(cmd, "%s is empty", given[0])
	}
	return v, nil
}

// engineUsage takes what cannot be a container's name for a wrong argument.
func engineUsage(cmd *cobra.Command, err error) error {
	if errors.Is(err, engine.ErrName) {
		return usagef(cmd, "%v", err)
	}
	return err
}

func parseAddress(cmd *cobra.Command, flag, s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		example := "24"
		if a.Is6() {
			example = "64"
		}
		return netip.Prefix{}, usagef(cmd, "%s %s: the length of its prefix is missing; write %s/%s, or /%d for the address alone", flag, s, s, example, a.BitLen())
	}
	return netip.Prefix{}, usagef(cmd, "%s %q: not an address with a prefix length, such as 10.0.0.9/24", flag, s)
}

func parseIPs(cmd *cobra.Command, flag string, texts []string) (list []netip.Addr, err error) {
	for _, s := range texts {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return nil, usagef(cmd, "%s %q: not an IP address", flag, s)
		}
		list = append(list, a)
	}
	return list, nil
}

func parseRoute(cmd *cobra.Command, s string) (attach.Route, error) {
	to, via, hasVia := strings.Cut(s, ",")
	p, err := netip.ParsePrefix(to)
	if err != nil {
		a, aerr := netip.ParseAddr(to)
		if aerr != nil {
			return attach.Route{}, usagef(cmd, "--route %q: not DST[,VIA], such as 10.5.0.0/16,10.0.0.1", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	r := attach.Route{To: p}
	if hasVia {
		if r.Via, err = netip.ParseAddr(via); err != nil {
			return r, usagef(cmd, "--route %q: %q is not an IP address", s, via)
		}
	}
	return r, nil
}

func runAttach(ctx context.Context, o attachOptions, q *attach.Request, opt attach.Options, std stdio) error {
	res, err := attach.Attach(ctx, q, opt)
	if err != nil {
		return err
	}
	for _, note := range res.Notes {
		say(std.err, "nsnet: note: %s\n", plain(note))
	}
	switch {
	case o.JSON:
		return printJSON(std.out, res.Record.CNI())
	case o.DryRun && res.Changed:
		return printText(std.out, attachPlan(res.Record))
	}
	return printText(std.out, attachText(res))
}

// attachText is attach's result in one line.
func attachText(res *attach.Result) string {
	r := res.Record
	what := plain(fmt.Sprintf("%s of %s", r.Request.Interface, r.Request.Target))
	if !res.Changed {
		return what + " is attached already, nothing to do\n"
	}
	return fmt.Sprintf("%s is attached to %s: %s in %s\n", what, plain(r.Request.Via.String()), orDash(prefixesText(r)), elapsedText(res.Elapsed))
}

func prefixesText(r *attach.Record) string {
	var s []string
	for _, p := range r.Addresses {
		s = append(s, p.String())
	}
	return strings.Join(s, ", ")
}

// attachPlan is what attach would do, a line for each thing.
func attachPlan(r *attach.Record) string {
	var b strings.Builder
	add := func(op, format string, args ...any) {
		fmt.Fprintf(&b, "%s %s\n", op, plain(fmt.Sprintf(format, args...)))
	}
	q := &r.Request
	add("+", "interface %s of %s, MAC %s, MTU %d: %s", q.Interface, q.Target, r.MAC, r.MTU, q.Via)
	for _, p := range r.Addresses {
		add("+", "address %s", p)
	}
	for range r.Former {
		add("-", "the default route of before, until detach")
	}
	for _, t := range r.Routes {
		via := ""
		if t.Via.IsValid() {
			via = " via " + t.Via.String()
		}
		add("+", "route %s%s", t.To, via)
	}
	for _, p := range q.Via.Addresses {
		add("+", "address %s of the other end", p)
	}
	for _, t := range r.PeerRoutes {
		add("+", "route %s of the other end", t.To)
	}
	if r.Resolv != nil {
		add("~", "resolv.conf")
	}
	return b.String()
}
