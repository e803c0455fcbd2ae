package main

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nsnet/nsnet/internal/printable"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

// inspectNode is all of a node as text for people; its layout is not an interface.
func inspectNode(labName string, n lab.NodeStatus, color bool, width int) string {
	var b strings.Builder
	b.WriteString("node " + plain(labName) + "/" + plain(n.Name) + "\n")
	b.WriteString(facts(slices.Concat([][2]string{
		{"state", paintState(stateText(n), color)},
		{"signal", plain(n.Signal)},
		{"reason", plain(n.Reason)},
		{"check", plain(n.CheckSaid)},
		{"last ended", lastEndText(n.LastEnd, time.Now())},
		{"restarts", number(n.Restarts)},
		{"next try", untilText(n.NextTry, time.Now())},
		{"hostname", plain(n.Hostname)},
		{"image", plain(n.Image)},
		{"storage", storageText(n.Storage)},
		{"command", printable.Command(n.Command)},
		{"command pid", number(n.CommandPID)},
		{"init pid", number(n.PID)},
		{"root is uid", rootText(n)},
		{"netns", plain(n.Netns)},
		{"limits", limitsText(n.Limits)},
	}, specFacts(&n.Spec))))
	section := func(title string, rows [][]string, give columns) {
		if len(rows) > 1 {
			b.WriteString("\n" + title + "\n" + indent(table(fit(rows, width-gap, give), nil)))
		}
	}
	section("interfaces", interfaceRows(n.Interfaces), columns{lists: []int{2, 5}})
	section("routes", routeRows(n.Spec.Routes), columns{})
	section("ports", portRows(n.Spec.Ports, n.Published), columns{})
	section("mounts", mountRows(&n.Spec), columns{texts: []int{2}})
	section("environment", pairRows("VARIABLE", n.Spec.Env), columns{})
	section("sysctls", sysctlRows(n.Spec.Sysctls), columns{})
	section("hosts", lineRows("LINE", n.Spec.Hosts), columns{})
	return b.String()
}

// lastEndText says how and when a node's command has last ended: "killed by SIGKILL, out of memory, 3m0s ago".
func lastEndText(e *lab.LastEnd, now time.Time) string {
	if e == nil {
		return ""
	}
	text := "with exit code " + strconv.Itoa(e.ExitCode)
	if e.Signal != "" {
		text = "killed by " + e.Signal
	}
	if e.OOMKilled {
		text += ", out of memory"
	}
	return plain(text) + ", " + max(now.Sub(e.At), 0).Round(time.Second).String() + " ago"
}

// specFacts is what the file says of a node in one line each, without what its state says already.
func specFacts(n *topology.Node) [][2]string {
	rights := append(slices.Clone(n.Caps.Add), prefixed("-", n.Caps.Drop)...)
	flags := map[string]bool{
		"privileged": n.Privileged, "seccomp unconfined": n.Seccomp == "unconfined", "tun": n.Tun,
		"new privileges allowed": !n.NoNewPrivs && n.Seccomp != "",
	}
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if flags[name] {
			rights = append(rights, name)
		}
	}
	return [][2]string{
		{"user", plain(n.User)},
		{"workdir", plain(n.Workdir)},
		{"rights", plain(strings.Join(rights, ", "))},
		{"dns", dnsText(n.DNS)},
		{"writes", writableText(n.Writable)},
		{"restart", restartText(n.Restart)},
		{"stop signal", plain(n.StopSignal)},
		{"ready", readyText(n.Ready)},
		{"depends on", dependsText(n.DependsOn)},
	}
}

func prefixed(prefix string, all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = prefix + s
	}
	return out
}

func dnsText(d *topology.DNS) string {
	if d == nil {
		return ""
	}
	var all []string
	for _, part := range []struct {
		name   string
		values []string
	}{{"nameservers", d.Nameservers}, {"search", d.Search}, {"options", d.Options}} {
		if len(part.values) > 0 {
			all = append(all, part.name+" "+strings.Join(part.values, " "))
		}
	}
	return plain(strings.Join(all, ", "))
}

func writableText(w topology.Writable) string {
	switch {
	case w.Persist:
		return "kept across down and up"
	case w.Size > 0:
		return bytesText(w.Size) + " at most"
	}
	return ""
}

func restartText(r topology.Restart) string {
	switch {
	case r.Mode == topology.RestartNo:
		return ""
	case r.Max > 0:
		return fmt.Sprintf("%s, %d in a row at most", r.Mode, r.Max)
	}
	return r.Mode
}

// readyText is a node's check: "command pg_isready -q, every 2s".
func readyText(r *topology.Ready) string {
	if r == nil {
		return ""
	}
	var what string
	switch {
	case len(r.Exec) > 0:
		what = "command " + printable.Command(r.Exec)
	case r.TCP > 0:
		what = fmt.Sprintf("TCP port %d", r.TCP)
	case r.HTTP != nil:
		what = fmt.Sprintf("HTTP port %d, %s", r.HTTP.Port, plain(r.HTTP.Path))
		if r.HTTP.Status != 0 {
			what += fmt.Sprintf(", status %d", r.HTTP.Status)
		}
	default:
		return "a line of its output that matches " + plain(r.Log)
	}
	return what + ", every " + (time.Duration(r.IntervalMS) * time.Millisecond).String()
}

func dependsText(all []topology.Dependency) string {
	texts := make([]string, len(all))
	for i, d := range all {
		texts[i] = plain(d.Node) + " (" + d.Condition + ")"
	}
	return strings.Join(texts, ", ")
}

func interfaceRows(all []lab.InterfaceStatus) [][]string {
	rows := [][]string{{"INTERFACE", "PEER", "PORT", "MAC", "MTU", "ADDRESSES"}}
	for _, i := range all {
		rows = append(rows, []string{
			plain(i.Name), peerText(i), orDash(portText(i)), orDash(plain(i.MAC)), number(i.MTU), orDash(addressesText([]lab.InterfaceStatus{i})),
		})
	}
	return rows
}

// peerText is what an interface leads to, and whether the file knows of it.
func peerText(i lab.InterfaceStatus) string {
	switch {
	case i.Attached:
		return "attached to " + plain(i.Peer)
	case i.Own:
		return "made in the node"
	}
	return orDash(plain(i.Peer))
}

// portText is what the port of an interface is called on its bridge, the longer name first.
func portText(i lab.InterfaceStatus) string {
	if i.PortAlt == "" {
		return plain(i.Port)
	}
	return plain(i.PortAlt) + "," + plain(i.Port)
}

func routeRows(all []topology.Route) [][]string {
	rows := [][]string{{"TO", "VIA", "DEV", "METRIC"}}
	for _, r := range all {
		via := ""
		if r.Via.IsValid() {
			via = r.Via.String()
		}
		rows = append(rows, []string{r.To.String(), orDash(via), orDash(plain(r.Dev)), orDash(number(r.Metric))})
	}
	return rows
}

func portRows(all []topology.Port, published []string) [][]string {
	rows := [][]string{{"HOST", "NODE", "PROTOCOL", "STATE"}}
	for _, p := range all {
		host, state := net.JoinHostPort(p.HostAddr.String(), strconv.Itoa(int(p.HostPort))), "not published"
		if slices.Contains(published, host+"/"+p.Protocol) {
			state = "published"
		}
		rows = append(rows, []string{host, strconv.Itoa(int(p.Port)), p.Protocol, state})
	}
	return rows
}

// rootText is which user of the host a node's root is.
func rootText(n lab.NodeStatus) string {
	if n.State == lab.StateNotMade {
		return ""
	}
	return strconv.FormatUint(uint64(n.UIDBase), 10) + " outside"
}

// mountRows is binds, empty directories in memory and unions, by what the file says of them.
func mountRows(n *topology.Node) [][]string {
	rows := [][]string{{"TARGET", "KIND", "SOURCE", "OPTIONS"}}
	for _, m := range n.Binds {
		options := "rw"
		if m.ReadOnly {
			options = "ro"
		} else if m.IDMap {
			options = "rw,idmap"
		}
		rows = append(rows, []string{plain(m.Target), "bind", plain(m.Source), options})
	}
	for _, m := range n.Tmpfs {
		options := fmt.Sprintf("mode=%04o", m.Mode)
		if m.Size > 0 {
			options += ",size=" + bytesText(m.Size)
		}
		rows = append(rows, []string{plain(m.Target), "tmpfs", "-", options})
	}
	for _, l := range n.Layers {
		rows = append(rows, []string{"/", "layer", plain(l.Image.String()), "ro"})
	}
	for _, u := range n.Unions {
		for _, l := range u.Layers {
			options := "ro"
			if l.Writable {
				options = "rw"
			}
			rows = append(rows, []string{plain(u.Path), "union", plain(l.Image.String()), options})
		}
	}
	return rows
}

func sysctlRows(all map[string]string) [][]string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, name+"="+all[name])
	}
	return pairRows("SYSCTL", lines)
}

// pairRows is lines of NAME=VALUE in two columns.
func pairRows(title string, lines []string) [][]string {
	rows := [][]string{{title, "VALUE"}}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, "=")
		rows = append(rows, []string{plain(name), plain(value)})
	}
	return rows
}

func lineRows(title string, lines []string) [][]string {
	rows := [][]string{{title}}
	for _, l := range lines {
		rows = append(rows, []string{plain(l)})
	}
	return rows
}
