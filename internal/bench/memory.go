package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memoryNodes is the size of the star whose processes are looked at.
const memoryNodes = 100

// status is the part of nsnet inspect --json that is read here.
type status struct {
	InitPID int `json:"init_pid"`
	Nodes   []struct {
		PID int `json:"pid"`
	} `json:"nodes"`
}

// measureMemory is the part that asks what a lab costs while it idles.
func measureMemory(ctx context.Context, o options, dir string) (t table, err error) {
	if o.nsnet == "" {
		return table{}, errors.New("needs nsnet")
	}
	c := &nsnet{binary: o.nsnet, dir: dir}
	if _, err := c.up(ctx, memoryNodes); err != nil {
		return table{}, err
	}
	defer func() {
		_, downErr := c.down(context.WithoutCancel(ctx), memoryNodes)
		err = errors.Join(err, downErr)
	}()
	out, err := output(ctx, o.nsnet, "inspect", labName(), "--json")
	if err != nil {
		return table{}, err
	}
	var s status
	if err := json.Unmarshal(out, &s); err != nil {
		return table{}, fmt.Errorf("read nsnet inspect: %w", err)
	}
	var nodes []int64
	for _, n := range s.Nodes {
		kib, err := privateMemory(n.PID)
		if err != nil {
			return table{}, err
		}
		nodes = append(nodes, kib)
	}
	lab, err := privateMemory(s.InitPID)
	if err != nil {
		return table{}, err
	}
	return table{
		title: fmt.Sprintf("Private memory of a lab of %s", plural(memoryNodes, "idle node")),
		head:  []string{"process", "Private_Clean + Private_Dirty"},
		rows: [][]string{
			{"init of a node, median", fmt.Sprintf("%d KiB", median(nodes))},
			{"init of the lab", fmt.Sprintf("%d KiB", lab)},
		},
	}, nil
}

// privateMemory is what would be free, in KiB, were the process not there.
func privateMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of process: %w", err)
	}
	return parseRollup(string(text))
}

// parseRollup sums the private lines of /proc/PID/smaps_rollup, proc_pid_smaps(5), in KiB.
func parseRollup(text string) (int64, error) {
	sum, found := int64(0), 0
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "Private_Clean:" && fields[0] != "Private_Dirty:" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s %w", fields[0], err)
		}
		sum += kib
		found++
	}
	if found != 2 {
		return 0, errors.New("read smaps_rollup: no private memory in it")
	}
	return sum, nil
}
