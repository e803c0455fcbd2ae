package wiring

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// ipv6Conf begins the names of an interface's sysctls of IPv6.
const ipv6Conf = "net.ipv6.conf."

// InterfaceSysctls returns the sysctls of IPv6, without their common beginning, that an interface of a lab has
// otherwise than the kernel would give it. What the node's own sysctls say, of it or of new interfaces, wins.
func InterfaceSysctls(n *topology.Node, name string) [][2]string {
	own := [][2]string{
		// No router solicitation: a thousand ports do not flood each other. Nor is there detection of duplicates, as the
		// file's addresses and link-local ones are given without. It comes with others, as on any Linux.
		{"accept_ra", "0"},
		// What the file says stays over a down and up.
		{"keep_addr_on_down", "1"},
		// An interface reports its groups twice (RFC 3810 section 9.1). Both times at once, before
		// the bridges are up: a second later each of a thousand reports would go to all ports.
		{"mldv2_unsolicited_report_interval", "1"},
	}
	if len(n.Sysctls) == 0 {
		return own
	}
	out, dir := own[:0], strings.ReplaceAll(name, ".", "/")
	for _, kv := range own {
		if v, set := n.Sysctls[ipv6Conf+dir+"."+kv[0]]; set {
			out = append(out, [2]string{kv[0], v})
		} else if _, set := n.Sysctls[ipv6Conf+"default."+kv[0]]; !set {
			out = append(out, kv)
		}
	}
	return out
}

// setSysctls gives an interface of the thread's network namespace its sysctls. One without IPv6, for which the kernel has
// none or the MTU is too small, has no such sysctls.
func setSysctls(s *Step) error {
	dir := "/proc/sys/net/ipv6/conf/" + s.Link
	var fd int
	err := failpoint.Hit("sysctl", dir)
	if err == nil {
		fd, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	for _, kv := range s.Sysctls {
		err := setSysctl(fd, kv)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // one that this kernel does not know
			return &os.PathError{Op: "write", Path: filepath.Join(dir, kv[0]), Err: err}
		}
	}
	return nil
}

func setSysctl(dir int, kv [2]string) error {
	fd, err := unix.Openat(dir, kv[0], unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(kv[1]))
	return err
}
