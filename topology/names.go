package topology

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Name lengths that the kernel and DNS set.
const (
	maxName      = 63 // of a lab or node: a DNS label (RFC 1035)
	maxInterface = 15 // IFNAMSIZ without the terminating NUL
	maxHostname  = 64 // HOST_NAME_MAX
)

// validateName tells whether a lab may have this name. It becomes a directory, a cgroup and a
// part of network namespace names, so that a leading dot or dash, or a slash, would do harm.
func validateName(s string) error { return nameLike(s, maxName, "._-") }

// validateNode tells whether a node may have this name: it is a DNS label, too.
func validateNode(s string) error {
	if err := nameLike(s, maxName, "-"); err != nil {
		return err
	}
	if s[len(s)-1] == '-' {
		return errors.New("ends with '-'")
	}
	return ofEveryHost(s)
}

// ofEveryHost refuses the names that each host has for itself and its neighbourhood in /etc/hosts, where the nodes' names are, too.
func ofEveryHost(s string) error {
	switch strings.ToLower(s) {
	case "localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix",
		"ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "broadcasthost":
		return errors.New("has a meaning of its own in /etc/hosts of every machine")
	}
	return nil
}

// validateInterface tells whether the kernel takes s as the name of an interface or bridge.
// Stricter than dev_valid_name: the kernel expands a name with %d into a number, and
// all and default are directories of /proc/sys/net/ipv4/conf.
func validateInterface(s string) error {
	switch s {
	case "all", "default", "lo":
		return errors.New("is reserved by the kernel")
	}
	return nameLike(s, maxInterface, "._-")
}

// validateHostname tells whether s is a host name, perhaps with a domain (RFC 1123).
func validateHostname(s string) error {
	if err := nameLike(s, maxHostname, ".-"); err != nil {
		return err
	}
	for i := range len(s) {
		if (s[i] == '.' || s[i] == '-') && (i+1 == len(s) || s[i+1] == '.') || s[i] == '.' && s[i+1] == '-' {
			return fmt.Errorf("has '%c' in a wrong place", s[i])
		}
	}
	return ofEveryHost(s)
}

// maxID is the highest user and group id that a node has, unless it is privileged.
const maxID = 1<<16 - 1

// idBeyond finds a number in USER[:GROUP] that is no id of a node.
func idBeyond(user string) (id string, beyond bool) {
	for word := range strings.SplitSeq(user, ":") {
		digits := strings.TrimLeft(word, "0")
		if word == "" || strings.Trim(word, "0123456789") != "" {
			continue // a name
		}
		if n, err := strconv.Atoi(digits); digits != "" && (err != nil || n > maxID) {
			return word, true
		}
	}
	return "", false
}

// nameLike tells whether s is 1 to most letters, digits and bytes of extra, the first
// being a letter or digit.
func nameLike(s string, most int, extra string) error {
	if s == "" {
		return errors.New("is empty")
	}
	if len(s) > most {
		return fmt.Errorf("is %d bytes long, %d are allowed", len(s), most)
	}
	for i, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			continue
		case i == 0:
			return errors.New("does not begin with a letter or digit")
		}
		ok := false
		for _, e := range extra {
			ok = ok || e == r
		}
		if !ok {
			return fmt.Errorf("contains %q; allowed are letters, digits%s", r, andBytes(extra))
		}
	}
	return nil
}

// andBytes returns the end of a list, each byte in quotes: ", '.', '_' and '-'".
func andBytes(s string) string {
	var out strings.Builder
	for i := range len(s) {
		if i+1 == len(s) {
			out.WriteString(" and ")
		} else {
			out.WriteString(", ")
		}
		fmt.Fprintf(&out, "%q", s[i])
	}
	return out.String()
}
