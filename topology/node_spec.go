package topology

import (
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// nodeSpec is a node as the file says it, or the defaults of all nodes.
type nodeSpec struct {
	name string
	n    *yaml.Node // the key

	image      opt[Image]
	hostname   opt[string]
	entrypoint opt[[]string]
	command    opt[[]string]
	env        opt[map[string]string]
	workdir    opt[string]
	user       opt[string]
	binds      opt[[]bindSpec]
	tmpfs      opt[[]tmpfsSpec]
	sysctls    opt[map[string]string]
	caps       opt[Caps]
	privileged opt[bool]
	seccomp    opt[string]
	nnp        opt[bool]
	tun        opt[bool]
	dns        opt[DNS]
	hosts      opt[[]string]
	routes     opt[[]routeSpec]
	limits     opt[Limits]
	ports      opt[[]portSpec]
	layers     opt[[]Layer]
	unions     opt[[]unionSpec]
	storage    opt[string]
	persist    opt[bool]
	writable   opt[int64]
	restart    opt[Restart]
	stopSignal opt[string]
	ready      opt[*Ready]
	depends    opt[[]dependSpec]
}

type routeSpec struct {
	Route
	n, via, dev *yaml.Node
}

type portSpec struct {
	Port
	n *yaml.Node
}

func nodeKeys() []keyDef[nodeSpec] {
	return []keyDef[nodeSpec]{
		{"image", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.image = d.image(n) }},
		{"hostname", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			s.hostname = d.checked(n, "hostname", validateHostname)
		}},
		{"command", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.command = d.command(n, "command") }},
		{"entrypoint", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.entrypoint = d.command(n, "entrypoint") }},
		{"env", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			s.env = d.textMap(n, "env", func(e entry) bool {
				if e.key == "" || strings.ContainsAny(e.key, "=\x00") {
					d.errorf(e.k, "%q cannot be the name of a variable", e.key)
					return false
				}
				return true
			})
		}},
		{"workdir", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			s.workdir = d.checked(n, "workdir", func(p string) error {
				if !filepath.IsAbs(p) {
					return fmt.Errorf("is not an absolute path (did you mean %q?)", filepath.Join("/", p))
				}
				return nil
			})
		}},
		{"user", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.user = d.checked(n, "user", validateUser) }},
		{"binds", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			if items, ok := d.list(n, "binds"); ok {
				s.binds = opt[[]bindSpec]{each(d, items, d.bind), n}
			}
		}},
		{"tmpfs", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			if items, ok := d.list(n, "tmpfs"); ok {
				s.tmpfs = opt[[]tmpfsSpec]{each(d, items, d.tmpfs), n}
			}
		}},
		{"sysctls", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			s.sysctls = d.textMap(n, "sysctls", func(e entry) bool {
				if err := validateSysctl(e.key); err != nil {
					d.errorf(e.k, "sysctl %q %v", e.key, err)
					return false
				}
				return true
			})
		}},
		{"caps", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.caps = d.caps(n) }},
		{"privileged", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.privileged = d.boolean(n, "privileged") }},
		{"seccomp", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			s.seccomp = d.checked(n, "seccomp", func(v string) error {
				if v != "default" && v != "unconfined" {
					return fmt.Errorf("is neither default nor unconfined%s", didYouMean(v, []string{"default", "unconfined"}))
				}
				return nil
			})
		}},
		{"nnp", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.nnp = d.boolean(n, "nnp") }},
		{"tun", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.tun = d.boolean(n, "tun") }},
		{"dns", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			var v DNS
			if decodeKeys(d, n, "dns", &v, dnsKeys()) {
				s.dns = opt[DNS]{v, n}
			}
		}},
		{"hosts", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			if items, ok := d.list(n, "hosts"); ok {
				s.hosts = opt[[]string]{each(d, items, d.hostsLine), n}
			}
		}},
		{"routes", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			if items, ok := d.list(n, "routes"); ok {
				s.routes = opt[[]routeSpec]{each(d, items, d.route), n}
			}
		}},
		{"limits", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			var v Limits
			if decodeKeys(d, n, "limits", &v, limitKeys()) {
				s.limits = opt[Limits]{v, n}
			}
		}},
		{"ports", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			if items, ok := d.list(n, "ports"); ok {
				s.ports = opt[[]portSpec]{each(d, items, d.port), n}
			}
		}},
		{"layers", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.layers = d.rootLayers(n) }},
		{"unions", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			if items, ok := d.list(n, "unions"); ok {
				s.unions = opt[[]unionSpec]{each(d, items, d.union), n}
			}
		}},
		{"storage", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.storage = d.storage(n) }},
		{"persist", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.persist = d.boolean(n, "persist") }},
		{"writable_size", func(d *decoder, s *nodeSpec, n *yaml.Node) {
			if v, ok := d.size(n, "writable_size", minWritable); ok {
				s.writable = opt[int64]{v, n}
			}
		}},
		{"restart", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.restart = d.restart(n) }},
		{"stop_signal", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.stopSignal = d.stopSignal(n) }},
		{"ready", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.ready = d.ready(n) }},
		{"depends_on", func(d *decoder, s *nodeSpec, n *yaml.Node) { s.depends = d.dependsOn(n) }},
	}
}

func dnsKeys() []keyDef[DNS] {
	return []keyDef[DNS]{
		{"nameservers", func(d *decoder, v *DNS, n *yaml.Node) {
			if items, ok := d.list(n, "nameservers"); ok {
				v.Nameservers = each(d, items, d.nameserver)
			}
		}},
		{"search", func(d *decoder, v *DNS, n *yaml.Node) { v.Search = d.words(n, "search") }},
		{"options", func(d *decoder, v *DNS, n *yaml.Node) { v.Options = d.words(n, "options") }},
	}
}

// routeText is a route before its texts are understood.
type routeText struct {
	to, via, dev opt[string]
	metric       int
}

func routeKeys() []keyDef[routeText] {
	return []keyDef[routeText]{
		{"to", func(d *decoder, r *routeText, n *yaml.Node) { r.to = d.checked(n, "to", nil) }},
		{"via", func(d *decoder, r *routeText, n *yaml.Node) { r.via = d.checked(n, "via", nil) }},
		{"dev", func(d *decoder, r *routeText, n *yaml.Node) { r.dev = d.checked(n, "dev", nil) }},
		{"metric", func(d *decoder, r *routeText, n *yaml.Node) {
			v, _ := d.integer(n, "metric", 0, math.MaxInt32)
			r.metric = int(v)
		}},
	}
}

// checked takes a text that passes check; what check returns is said of the text.
func (d *decoder) checked(n *yaml.Node, what string, check func(string) error) opt[string] {
	s, ok := d.text(n, what)
	if !ok {
		return opt[string]{}
	}
	if check != nil {
		if err := check(s); err != nil {
			d.errorf(n, "%s %q %v", what, s, err)
		}
	}
	return opt[string]{s, n}
}

// ShellCommand returns the command that runs a line of text in a node: by the node's shell.
func ShellCommand(line string) []string { return []string{"/bin/sh", "-c", line} }

// command understands a program and its arguments, or a line for the shell.
func (d *decoder) command(n *yaml.Node, what string) opt[[]string] {
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		s, ok := d.text(n, what)
		if !ok || strings.TrimSpace(s) == "" {
			d.errorf(n, "%s is empty; leave it out for an idle node", what)
			return opt[[]string]{}
		}
		return opt[[]string]{ShellCommand(s), n}
	}
	argv, ok := d.texts(n, what)
	if !ok {
		return opt[[]string]{}
	}
	if len(argv) > 0 && argv[0] == "" {
		d.errorf(n, "%s begins with an empty text; the first item is the program", what)
	}
	return opt[[]string]{argv, n}
}

// validateUser tells whether s is "user[:group]", by name or number.
func validateUser(s string) error {
	user, group, both := strings.Cut(s, ":")
	if user == "" || both && group == "" || strings.ContainsAny(s, " \t\n/") || strings.Contains(group, ":") {
		return fmt.Errorf("is not a user or user:group, by name or number")
	}
	return nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func (d *decoder) nameserver(n *yaml.Node) (string, bool) {
	s, ok := d.text(n, "a nameserver")
	if !ok {
		return "", false
	}
	if _, err := netip.ParseAddr(s); err != nil {
		d.errorf(n, "nameserver %q is not an IP address", s)
		return "", false
	}
	return s, true
}

// words takes a list of texts without blanks, which resolv.conf cannot quote.
func (d *decoder) words(n *yaml.Node, what string) []string {
	items, ok := d.list(n, what)
	if !ok {
		return nil
	}
	return each(d, items, func(n *yaml.Node) (string, bool) {
		s, ok := d.text(n, "an item of "+what)
		if ok && (s == "" || strings.ContainsAny(s, " \t\r\n")) {
			d.errorf(n, "an item of %s is one word, not %q", what, s)
			return "", false
		}
		return s, ok
	})
}

func (d *decoder) hostsLine(n *yaml.Node) (string, bool) {
	s, ok := d.text(n, "an item of hosts")
	if !ok {
		return "", false
	}
	words := strings.Fields(s)
	if len(words) < 2 || strings.ContainsAny(s, "\r\n#") {
		d.errorf(n, "%q is not a hosts line: ADDRESS NAME...", s)
		return "", false
	}
	if _, err := netip.ParseAddr(words[0]); err != nil {
		d.errorf(n, "%q in hosts is not an IP address", words[0])
		return "", false
	}
	for _, name := range words[1:] {
		if err := validateHostname(name); err != nil {
			d.errorf(n, "name %q in hosts %v", name, err)
			return "", false
		}
	}
	return strings.Join(words, " "), true
}

func (d *decoder) route(n *yaml.Node) (routeSpec, bool) {
	var t routeText
	before := len(d.errs) + d.more
	if !decodeKeys(d, n, "a route", &t, routeKeys()) || len(d.errs)+d.more != before {
		return routeSpec{}, false
	}
	r := routeSpec{n: n, via: t.via.n, dev: t.dev.n}
	r.Metric, r.Dev = t.metric, t.dev.v
	if t.to.n == nil {
		d.errorf(n, `to is missing: a prefix such as 10.0.0.0/8, or default`)
		return r, false
	}
	if t.via.n == nil && t.dev.n == nil {
		d.errorf(n, "via or dev is missing")
		return r, false
	}
	if t.via.n != nil {
		a, err := netip.ParseAddr(t.via.v)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			d.errorf(t.via.n, "via %q is not an IP address", t.via.v)
			return r, false
		}
		r.Via = a
	}
	return r, d.routeTo(&r, t.to)
}

// routeTo understands a route's destination; "default" takes its family from via.
func (d *decoder) routeTo(r *routeSpec, to opt[string]) bool {
	if to.v == "default" {
		switch {
		case !r.Via.IsValid():
			d.errorf(to.n, "default without via: write 0.0.0.0/0 or ::/0 to say which")
			return false
		case r.Via.Is4():
			r.To = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		default:
			r.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return true
	}
	p, err := netip.ParsePrefix(to.v)
	if a, aerr := netip.ParseAddr(to.v); aerr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p.Addr().Is4In6() {
		d.errorf(to.n, "to %q is neither a prefix such as 10.0.0.0/8 nor default%s", to.v, didYouMean(to.v, []string{"default"}))
		return false
	}
	if p != p.Masked() {
		d.errorf(to.n, "to %s has bits set behind its mask (did you mean %q?)", p, p.Masked())
		return false
	}
	if r.Via.IsValid() && r.Via.Is4() != p.Addr().Is4() {
		d.errorf(to.n, "to %s and via %s are not of the same IP version", p, r.Via)
		return false
	}
	r.To = p
	return true
}
