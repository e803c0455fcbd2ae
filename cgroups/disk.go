package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	oc "github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/topology"
)

// disk resolves a block device that traffic can be limited to. The kernel limits that to whole disks
// alone.
func disk(name string) (major, minor int64, err error) {
	major, minor, err = device(name)
	if err != nil {
		return 0, 0, err
	}
	dir := fmt.Sprintf("/sys/dev/block/%d:%d", major, minor)
	bad := &Unsupported{Controller: "io", Limit: "io", Remedy: "lsblk lists the block devices"}
	if _, bad.Err = os.Stat(dir); bad.Err != nil {
		bad.Reason = fmt.Sprintf("there is no block device %s", name)
		return 0, 0, bad
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		bad.Reason = name + " is a partition, and traffic is limited by the disk"
		bad.Remedy = "name the disk that it is on"
		return 0, 0, bad
	}
	return major, minor, nil
}

// device resolves a block device given as a path or as major:minor.
func device(name string) (major, minor int64, err error) {
	if a, b, ok := strings.Cut(name, ":"); ok && !strings.Contains(name, "/") {
		x, errA := strconv.ParseUint(a, 10, 12)
		y, errB := strconv.ParseUint(b, 10, 20)
		if errA != nil || errB != nil {
			return 0, 0, &Unsupported{Controller: "io", Limit: "io", Reason: "device " + strconv.Quote(name) + " is not major:minor"}
		}
		return int64(x), int64(y), nil
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return 0, 0, &Unsupported{Controller: "io", Limit: "io", Reason: "device " + name + ": " + err.Error(),
			Remedy: "lsblk lists the block devices", Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, &Unsupported{Controller: "io", Limit: "io", Reason: name + " is no block device",
			Remedy: "lsblk lists the block devices"}
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}

// weightFile is where a group's weight on a disk goes, which depends on what shares the disk out: the scheduler BFQ,
// or in version 2 the cost model. With neither a weight has no effect.
func (hy hierarchy) weightFile(major, minor int64) (string, error) {
	scheduler, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/queue/scheduler", major, minor))
	if err == nil && strings.Contains(string(scheduler), "[bfq]") {
		if hy.unified {
			return "io.bfq.weight", nil
		}
		return "blkio.bfq.weight_device", nil
	}
	if hy.unified {
		costs, _ := os.ReadFile(filepath.Join(hy.root, "io.cost.qos"))
		for line := range strings.Lines(string(costs)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == fmt.Sprintf("%d:%d", major, minor) && f[1] == "enable=1" {
				return "io.weight", nil
			}
		}
	}
	bad := &Unsupported{Controller: "io", Limit: "io", Reason: fmt.Sprintf("nothing shares out device %d:%d by weight", major, minor),
		Remedy: fmt.Sprintf("give it the scheduler bfq: echo bfq > /sys/dev/block/%d:%d/queue/scheduler", major, minor), Err: err}
	if hy.unified {
		bad.Remedy += ", or enable io.cost.qos for it"
	}
	return "", bad
}

// checkWeights tells whether all weights on disks have an effect.
func (hy hierarchy) checkWeights(limits []topology.IOLimit) error {
	for _, l := range limits {
		if l.Weight == 0 {
			continue
		}
		major, minor, err := disk(l.Device)
		if err != nil {
			return err
		}
		if _, err := hy.weightFile(major, minor); err != nil {
			return err
		}
	}
	return nil
}

// setWeights writes a group's weights on disks.
func (hy hierarchy) setWeights(dir string, weights []*oc.WeightDevice) error {
	for _, w := range weights {
		file, err := hy.weightFile(w.Major, w.Minor)
		if err != nil {
			return err
		}
		if err := oc.WriteFile(dir, file, w.WeightString()); err != nil {
			return err
		}
	}
	return nil
}

// liftIO takes all limits of a group's traffic to disks back. The group's files tell which there are.
func (hy hierarchy) liftIO(dir string) error {
	files := map[string]string{"io.max": "rbps=max wbps=max riops=max wiops=max", "io.bfq.weight": "default", "io.weight": "default"}
	if !hy.unified {
		files = map[string]string{"blkio.bfq.weight_device": "default"}
		for _, f := range []string{"read_bps", "write_bps", "read_iops", "write_iops"} {
			files["blkio.throttle."+f+"_device"] = "0"
		}
	}
	var errs []error
	for file, none := range files {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if gone(err) {
			continue
		}
		errs = append(errs, err)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 1 && strings.Contains(f[0], ":") {
				errs = append(errs, oc.WriteFile(dir, file, f[0]+" "+none))
			}
		}
	}
	return errors.Join(errs...)
}
