package topology

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// validateSysctl tells whether a node has a sysctl of its own: those of its network
// namespace, and of its IPC namespace. The others belong to the whole machine.
func validateSysctl(key string) error {
	if strings.Contains(key, "/") {
		return errors.New("is written with dots, not slashes")
	}
	for _, part := range strings.Split(key, ".") {
		if part == "" || strings.Trim(part, sysctlLetters) != "" {
			return errors.New("is not a sysctl's name, such as net.ipv4.ip_forward")
		}
	}
	first, rest, ok := strings.Cut(key, ".")
	switch {
	case !ok:
	case first == "net", strings.HasPrefix(key, "fs.mqueue."):
		return nil
	case first == "kernel" && (rest == "sem" || strings.HasPrefix(rest, "shm") || strings.HasPrefix(rest, "msg")):
		return nil
	}
	return errors.New("belongs to the whole machine, not to a node; a node has net.*, fs.mqueue.* and kernel.{sem,shm*,msg*} of its own")
}

// sysctlInterface returns the interface whose sysctl this is, empty for those of no interface in particular.
func sysctlInterface(key string) string {
	part := strings.Split(key, ".")
	if len(part) < 5 || part[0] != "net" || part[2] != "conf" && part[2] != "neigh" {
		return ""
	}
	switch name := strings.Join(part[3:len(part)-1], "."); name {
	case "all", "default", "lo":
		return ""
	case "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0": // which the kernel may make in each network namespace
		return ""
	default:
		return name
	}
}

// sysctlInterfaces reports sysctls of interfaces that a node has not.
func (r *resolver) sysctlInterfaces(node int, s, def *nodeSpec) {
	var has map[string]bool
	for _, key := range slices.Sorted(maps.Keys(s.sysctls.v)) {
		name := sysctlInterface(key)
		if name == "" {
			continue
		}
		if has == nil {
			has = r.interfaces(node, s.name)
		}
		if has[name] {
			continue
		}
		if r.d.full() {
			r.d.more++
			continue
		}
		at := keyOf(s.sysctls.n, key)
		if at == nil {
			at = keyOf(def.sysctls.n, key)
		}
		if at == nil {
			at = s.sysctls.n
		}
		r.d.errorf(at, "sysctl %q: node %s has no interface %q%s", key, s.name, name, didYouMean(name, slices.Sorted(maps.Keys(has))))
	}
}

// interfaces returns the names of a node's interfaces on links.
func (r *resolver) interfaces(node int, name string) map[string]bool {
	has := make(map[string]bool, len(r.ends[node]))
	for _, i := range r.ends[node] {
		w := &r.wires[i]
		for side := range w.sides() {
			if e := w.end(side); e.Node == name {
				has[e.Interface] = true
			}
		}
	}
	return has
}

// keyOf finds a key in a mapping itself, nil for one that comes by a merge key.
func keyOf(n *yaml.Node, key string) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i]
		}
	}
	return nil
}

const sysctlLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
