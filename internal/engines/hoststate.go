package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// hostState is what an engine changes of its network namespace and does not undo.
type hostState struct {
	links    []string
	sysctls  map[string]string
	firewall bool // there were rules
}

// nft finds the program in the directories of system programs, too.
func nft(args ...string) (string, error) {
	program := "nft"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/nft"
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("nft %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func observe() (hostState, error) {
	var s hostState
	links, err := netlink.LinkList()
	if err != nil {
		return s, err
	}
	for _, l := range links {
		s.links = append(s.links, l.Attrs().Name)
	}
	rules, err := nft("list", "ruleset")
	if err != nil {
		return s, err
	}
	s.firewall = strings.TrimSpace(rules) != ""
	s.sysctls, err = sysctls()
	return s, err
}

// restore removes the bridges that were not there, all firewall rules if there were none, and writes back the sysctls
// that have another value. What else is new in the namespace is not the engine's.
func (s hostState) restore() error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	var failed []error
	for _, l := range links {
		if name := l.Attrs().Name; name == "docker0" && !slices.Contains(s.links, name) {
			failed = append(failed, netlink.LinkDel(l))
		}
	}
	if !s.firewall {
		_, err := nft("flush", "ruleset")
		failed = append(failed, err)
	}
	now, err := sysctls()
	failed = append(failed, err)
	for path, value := range s.sysctls {
		if current, ok := now[path]; ok && current != value {
			// What cannot be written is what the kernel counts, or what is the whole machine's.
			_ = os.WriteFile(path, []byte(value), 0)
		}
	}
	return errors.Join(failed...)
}
