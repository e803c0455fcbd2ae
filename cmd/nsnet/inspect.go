package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsnet/nsnet/attach"
	"github.com/nsnet/nsnet/lab"
	"github.com/nsnet/nsnet/topology"
)

type inspectOptions struct {
	JSON bool
}

// AddFlags adds the options to f.
func (o *inspectOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.JSON, "json", false, "print it as JSON")
}

func newInspect(std stdio) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:     "inspect LAB[/NODE]",
		GroupID: groupLab,
		Short:   "Show all of a lab or a node",
		Long: `Show everything about a lab, or about one node of it. A name without a slash is a lab's,
or else that of a node which only one running lab has.

` + exitStatus(exitOK, exitFailure, exitUsage, exitNotFound, exitPermission, exitNotRunning),
		Example: `  nsnet inspect demo
  nsnet inspect demo/web --json`,
		Args:              exactArgs("LAB[/NODE]"),
		ValidArgsFunction: completeLabOrNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInspect(cmd.Context(), o, args[0], std)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runInspect(ctx context.Context, o inspectOptions, ref string, std stdio) error {
	labName, nodeName, isNode := strings.Cut(ref, "/")
	s, err := lab.Inspect(ctx, labName)
	if errors.Is(err, lab.ErrNotFound) && !isNode {
		var findErr error
		if labName, nodeName, findErr = lab.Find(ctx, ref); findErr == nil {
			isNode = true
			s, err = lab.Inspect(ctx, labName)
		} else if !errors.Is(findErr, lab.ErrNotFound) {
			err = findErr
		}
	}
	if err != nil {
		return err
	}
	all, err := attach.List(ctx)
	if err != nil {
		return err
	}
	withAttached([]lab.Status{*s}, all)
	color := canColor(std.out, os.Getenv("TERM"), os.Getenv("NO_COLOR"))
	if !isNode {
		if o.JSON {
			return printJSON(std.out, s)
		}
		return printText(std.out, inspectLab(*s, color, tableWidth(std.out)))
	}
	n, err := findNode(*s, nodeName)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(std.out, n)
	}
	return printText(std.out, inspectNode(s.Name, n, color, tableWidth(std.out)))
}

func findNode(s lab.Status, name string) (lab.NodeStatus, error) {
	names := make([]string, len(s.Nodes))
	for i, n := range s.Nodes {
		if n.Name == name {
			return n, nil
		}
		names[i] = n.Name
	}
	e := &lab.Error{Lab: s.Name, Node: name, Err: lab.ErrNotFound}
	if near := nearest(name, names); near != "" {
		e.Remedy = "did you mean " + s.Name + "/" + near + "?"
	}
	return lab.NodeStatus{}, e
}

// inspectLab is all of a lab as text for people; its layout is not an interface.
func inspectLab(s lab.Status, color bool, width int) string {
	var b strings.Builder
	b.WriteString("lab " + plain(s.Name) + "\n")
	b.WriteString(facts([][2]string{
		{"state", paintState(s.State, color)},
		{"reason", plain(s.Reason)},
		{"file", plain(s.File)},
		{"created", createdText(s.Created)},
		{"init pid", number(s.InitPID)},
		{"memory", plain(labMemoryText(s))},
	}))
	if len(s.Nodes) > 0 {
		rows := [][]string{{"NODE", "STATE", "PID", "ADDRESSES"}}
		for _, n := range s.Nodes {
			rows = append(rows, []string{plain(n.Name), stateText(n), pidText(n.PID), orDash(addressesText(n.Interfaces))})
		}
		b.WriteString("\nnodes\n" + indent(table(fit(rows, width-gap, columns{lists: []int{3}}), func(column int, text string) string {
			if column == 1 {
				return paintState(text, color)
			}
			return text
		})))
	}
	if len(s.Bridges) > 0 {
		rows := [][]string{{"BRIDGE", "MTU", "SUBNETS", "HOST ADDRESSES", "OPTIONS"}}
		for _, br := range s.Bridges {
			rows = append(rows, []string{
				plain(br.Name), number(br.MTU), orDash(joined(br.Subnets)), orDash(joined(br.Addresses)), orDash(bridgeOptions(br)),
			})
		}
		b.WriteString("\nbridges\n" + indent(table(fit(rows, width-gap, columns{lists: []int{2, 3, 4}}), nil)))
	}
	if len(s.Links) > 0 {
		var rows [][]string
		for _, l := range s.Links {
			rows = append(rows, []string{endpointText(l.A), "--", endpointText(l.B)})
		}
		b.WriteString("\nlinks\n" + indent(table(rows, nil)))
	}
	if len(s.Drift) > 0 {
		b.WriteString("\nnot as its file says\n" + indent(planText(s.Name, s.Drift)))
	}
	return b.String()
}

// storageText is the drivers and why, "overlay (the kernel has it)", with the paths of unions.
func storageText(all []lab.StorageStatus) string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = s.Driver + " (" + plain(s.Why) + ")"
		if s.Persist {
			texts[i] += ", kept"
		}
		if s.Path != "/" {
			texts[i] = plain(s.Path) + ": " + texts[i]
		}
	}
	return strings.Join(texts, "; ")
}

// labMemoryText is what all nodes of a lab have of memory, and may have.
func labMemoryText(s lab.Status) string {
	m := s.Memory
	switch {
	case m == nil && s.Unbounded != "":
		return "not bounded: " + s.Unbounded
	case m == nil:
		return ""
	}
	text := fmt.Sprintf("%s of %s for all nodes together", bytesText(int64(m.Used)), bytesText(m.Limit)) //nolint:gosec // it fits
	switch m.Kills {
	case 0:
		return text
	case 1:
		return text + ", for which 1 process was killed"
	}
	return fmt.Sprintf("%s, for which %d processes were killed", text, m.Kills)
}

// facts is a list of names and values, without those that have no value.
func facts(all [][2]string) string {
	var rows [][]string
	for _, f := range all {
		if f[1] != "" {
			rows = append(rows, []string{f[0], f[1]})
		}
	}
	return indent(table(rows, nil))
}

func paintState(state string, color bool) string {
	if color {
		return colorState(plain(state))
	}
	return plain(state)
}

func createdText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02 15:04:05 -0700")
}

// untilText is how long it is until a time: "in 1.6 s".
func untilText(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	return "in " + elapsedText(max(at.Sub(now), 0))
}

// number is n, or nothing when n is not known.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func joined[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ",")
}

func bridgeOptions(b lab.BridgeStatus) string {
	var all []string
	if b.External {
		all = append(all, "external")
	}
	if b.Leg != "" {
		all = append(all, "leg="+plain(b.Leg))
	}
	if b.NAT {
		all = append(all, "nat")
	}
	if b.Routed {
		all = append(all, "routed")
	}
	if len(b.Peers) > 0 {
		all = append(all, "peers="+plain(strings.Join(b.Peers, "+")))
	}
	if b.STP {
		all = append(all, "stp")
	}
	return strings.Join(all, ",")
}

func endpointText(e topology.Endpoint) string {
	if e.Node == "" {
		return plain(e.Bridge)
	}
	return plain(e.Node + ":" + e.Interface)
}

// limitsText is the limits that are set: "cpu 0.2, memory 10 MiB".
func limitsText(l topology.Limits) string {
	var all []string
	if l.CPU != 0 {
		all = append(all, "cpu "+strconv.FormatFloat(l.CPU, 'f', -1, 64))
	}
	if l.CPUWeight != 0 {
		all = append(all, fmt.Sprintf("cpu weight %d", l.CPUWeight))
	}
	if l.CPUSet != "" {
		all = append(all, "cpuset "+plain(l.CPUSet))
	}
	if l.Memory != 0 {
		all = append(all, "memory "+bytesText(l.Memory))
	}
	if l.MemorySwap != 0 {
		all = append(all, "memory and swap "+bytesText(l.MemorySwap))
	}
	if l.MemoryReservation != 0 {
		all = append(all, "memory reservation "+bytesText(l.MemoryReservation))
	}
	if l.Pids == topology.AllPids {
		all = append(all, "pids max")
	} else if l.Pids != 0 {
		all = append(all, fmt.Sprintf("pids %d", l.Pids))
	}
	for _, io := range l.IO {
		var rates []string
		if io.ReadBPS != 0 {
			rates = append(rates, "read "+bytesText(io.ReadBPS)+"/s")
		}
		if io.WriteBPS != 0 {
			rates = append(rates, "write "+bytesText(io.WriteBPS)+"/s")
		}
		if io.ReadIOPS != 0 {
			rates = append(rates, fmt.Sprintf("read %d/s", io.ReadIOPS))
		}
		if io.WriteIOPS != 0 {
			rates = append(rates, fmt.Sprintf("write %d/s", io.WriteIOPS))
		}
		if io.Weight != 0 {
			rates = append(rates, fmt.Sprintf("weight %d", io.Weight))
		}
		all = append(all, plain(io.Device)+" "+strings.Join(rates, " "))
	}
	for _, page := range slices.Sorted(maps.Keys(l.HugeTLB)) {
		all = append(all, fmt.Sprintf("%s in pages of %s", bytesText(l.HugeTLB[page]), plain(page)))
	}
	return strings.Join(all, ", ")
}
