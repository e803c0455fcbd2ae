package topology

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Limits are a node's limits; zero means that the file sets none.
type Limits struct {
	CPU               float64          `json:"cpu,omitempty"`                // cores
	CPUWeight         uint64           `json:"cpu_weight,omitempty"`         // 1..10000, 100 is usual
	CPUSet            string           `json:"cpuset,omitempty"`             // processors it may run on: "0-2,5"
	Memory            int64            `json:"memory,omitempty"`             // bytes
	MemorySwap        int64            `json:"memory_swap,omitempty"`        // bytes of memory and swap together; 0: no swap beside a limit of memory
	MemoryReservation int64            `json:"memory_reservation,omitempty"` // bytes left to it when the host is short of memory
	Pids              int64            `json:"pids,omitempty"`               // processes and threads; AllPids: as many as there are
	IO                []IOLimit        `json:"io,omitempty"`
	HugeTLB           map[string]int64 `json:"hugetlb,omitempty"` // bytes by the size of page: "2MiB"
}

// AllPids is the limit of processes and threads of a node that may have as many as its lab: "max" in a file.
const AllPids = -1

// LabLimits are what all nodes of a lab may have together; zero means that the file sets none.
type LabLimits struct {
	Memory int64 `json:"memory,omitempty"` // bytes; 0: a share of the machine's; AllMemory: as much as there is
}

// AllMemory is the limit of memory of a lab that may have all there is: "max" in a file.
const AllMemory = -1

// IOLimit bounds a node's traffic to one block device, in bytes or operations a second.
type IOLimit struct {
	Device    string `json:"device"` // path, or major:minor
	ReadBPS   int64  `json:"read_bps,omitempty"`
	WriteBPS  int64  `json:"write_bps,omitempty"`
	ReadIOPS  int64  `json:"read_iops,omitempty"`
	WriteIOPS int64  `json:"write_iops,omitempty"`
	Weight    uint64 `json:"weight,omitempty"` // 1..1000, share of a busy device; 100 is usual
}

// None tells whether nothing is limited.
func (l *Limits) None() bool {
	return l.CPU == 0 && l.CPUWeight == 0 && l.CPUSet == "" && l.Memory == 0 && l.MemorySwap == 0 && l.MemoryReservation == 0 &&
		l.Pids == 0 && len(l.IO) == 0 && len(l.HugeTLB) == 0
}

// Conflict tells why limits cannot hold together.
func (l *Limits) Conflict() error {
	switch {
	case l.MemorySwap > 0 && l.Memory == 0:
		return errors.New("memory_swap is memory and swap together, and needs a limit of memory")
	case l.MemorySwap > 0 && l.MemorySwap < l.Memory:
		return fmt.Errorf("memory_swap is memory and swap together, and %s is less than the %s of memory", sizeText(l.MemorySwap), sizeText(l.Memory))
	case l.Memory > 0 && l.MemoryReservation > l.Memory:
		return fmt.Errorf("memory_reservation, %s, is more than the %s of memory", sizeText(l.MemoryReservation), sizeText(l.Memory))
	}
	return nil
}

// ParseLimits reads limits from texts by their keys, each as the file would say it: "cpu": "0.2". Mappings, the
// items of io and hugetlb, are texts of KEY=VALUE with commas between, and there can be several.
func ParseLimits(texts map[string][]string) (Limits, error) {
	var l Limits
	d := &decoder{left: 1000 * (len(texts) + 1)}
	for _, def := range limitKeys() {
		given := texts[def.name]
		if len(given) == 0 {
			continue
		}
		n := scalar(given[len(given)-1])
		switch def.name {
		case "io":
			n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
			for _, text := range given {
				n.Content = append(n.Content, mapping(text))
			}
		case "hugetlb":
			n = mapping(strings.Join(given, ","))
		}
		def.set(d, &l, n)
	}
	if len(d.errs) > 0 {
		all := make([]string, len(d.errs))
		for i, e := range d.errs {
			all[i] = e.Msg
		}
		return Limits{}, errors.New(strings.Join(slices.Compact(all), "; "))
	}
	return l, nil
}

// mapping is KEY=VALUE,KEY=VALUE as a YAML file's parser would have it.
func mapping(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for pair := range strings.SplitSeq(text, ",") {
		k, v, _ := strings.Cut(pair, "=")
		key := scalar(k)
		key.Tag = "!!str"
		n.Content = append(n.Content, key, scalar(v))
	}
	return n
}

// scalar is a text as a YAML file's parser would have typed it.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text, Tag: "!!str"}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		n.Tag = "!!float"
	}
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		n.Tag = "!!int"
	}
	return n
}
