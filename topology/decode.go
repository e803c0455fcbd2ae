package topology

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// budget is how many YAML nodes and inherited values decoding may visit: a few times what
// the largest file has without aliases.
const budget = 3_000_000

// mergeDepth bounds merge keys inside merged mappings.
const mergeDepth = 16

// decoder collects the errors of one file and holds what decoding needs to know.
type decoder struct {
	file   string // for messages
	source source
	o      Options

	errs     Errors
	more     int // errors past maxErrors
	left     int // of the budget
	halted   bool
	warnings Errors

	expressions map[string]bool // that were found right
	paths       *finder
	hostPaths   map[string]HostPath   // that the file names
	pathAt      map[string]*yaml.Node // where it first does
}

// opt is a value of the file: v is what n says. Without n the key was not given.
type opt[T any] struct {
	v T
	n *yaml.Node
}

func (o opt[T]) or(other opt[T]) opt[T] {
	if o.n != nil {
		return o
	}
	return other
}

// errorf records an error at a node's place.
func (d *decoder) errorf(n *yaml.Node, format string, args ...any) {
	if d.halted {
		return
	}
	if d.full() {
		d.more++
		return
	}
	d.errs = append(d.errs, d.at(n, format, args))
}

// at returns a message with a node's place in the file, if it has one.
func (d *decoder) at(n *yaml.Node, format string, args []any) Error {
	e := Error{File: d.file, Msg: printable(fmt.Sprintf(format, args...))}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	return e
}

// warnf records what is legal and may not be meant, at a node's place. Warnings past as many as there may be errors are dropped.
func (d *decoder) warnf(n *yaml.Node, format string, args ...any) {
	if len(d.warnings) < maxErrors {
		d.warnings = append(d.warnings, d.at(n, format, args))
	}
}

// full tells that further errors are only counted, so that callers save themselves the
// search for a suggestion.
func (d *decoder) full() bool { return len(d.errs) >= maxErrors }

// spend takes from the budget; false means that decoding has to stop.
func (d *decoder) spend(n *yaml.Node, count int) bool {
	d.left -= count
	if d.left < 0 && !d.halted {
		d.errs = d.errs[:min(len(d.errs), maxErrors-1)]
		d.errorf(n, "aliases, merge keys or defaults make the file too large")
		d.halted = true
	}
	return !d.halted
}

// in follows an alias and pays for the visit.
func (d *decoder) in(n *yaml.Node) *yaml.Node {
	d.spend(n, 1)
	for range maxDepth {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// typeName says in plain words what a node is.
func typeName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a mapping"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "empty"
		case "!!bool":
			return "true or false"
		case "!!int", "!!float":
			return "a number"
		}
	}
	return "text"
}

// entry is one key of a mapping and its value.
type entry struct {
	key  string
	k, v *yaml.Node
}

// entries gives a mapping's keys in file order, those of merge keys last. Empty counts as
// a mapping without keys.
func (d *decoder) entries(n *yaml.Node, what string) ([]entry, bool) {
	n = d.in(n)
	if isNull(n) {
		return nil, true
	}
	if n.Kind != yaml.MappingNode {
		d.errorf(n, "%s must be a mapping, not %s", what, typeName(n))
		return nil, false
	}
	return d.mapping(n, 0), true
}

func (d *decoder) mapping(n *yaml.Node, depth int) []entry {
	es := make([]entry, 0, len(n.Content)/2)
	var merges []*yaml.Node
	seen := newKeySet(len(n.Content) / 2)
	for i := 0; i+1 < len(n.Content) && !d.halted; i += 2 {
		k, v := d.in(n.Content[i]), n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			d.errorf(k, "a key must be text, not %s", typeName(k))
		case k.Value == "<<" && k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0:
			merges = append(merges, v)
		default:
			if first := seen.add(k.Value, k, es); first != nil {
				d.errorf(k, "duplicate key %q, first given at line %d", k.Value, first.Line)
				continue
			}
			es = append(es, entry{k.Value, k, v})
		}
	}
	for _, m := range merges {
		es = d.merge(es, &seen, m, depth)
	}
	return es
}

// merge adds the keys of a merge key's value (a mapping or a list of them) that are not
// there yet.
func (d *decoder) merge(es []entry, seen *keySet, n *yaml.Node, depth int) []entry {
	n = d.in(n)
	sources := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		sources = n.Content
	}
	for _, s := range sources {
		if d.halted {
			break
		}
		s = d.in(s)
		if s.Kind != yaml.MappingNode {
			d.errorf(s, "the merge key << takes a mapping or a list of mappings, not %s", typeName(s))
			continue
		}
		if depth >= mergeDepth {
			d.errorf(s, "merge keys are nested more than %d deep", mergeDepth)
			continue
		}
		for _, e := range d.mapping(s, depth+1) {
			if !d.spend(n, 1) {
				break
			}
			if seen.add(e.key, e.k, es) == nil {
				es = append(es, e)
			}
		}
	}
	return es
}

// keySet remembers keys: few by looking at the entries, many in a map.
type keySet struct{ m map[string]*yaml.Node }

func newKeySet(n int) keySet {
	if n <= 16 {
		return keySet{}
	}
	return keySet{make(map[string]*yaml.Node, n)}
}

// add gives the node of an equal key in es, or nil and remembers this one.
func (s *keySet) add(key string, n *yaml.Node, es []entry) *yaml.Node {
	if s.m == nil && len(es) > 16 {
		s.m = make(map[string]*yaml.Node, 2*len(es))
		for _, e := range es {
			s.m[e.key] = e.k
		}
	}
	if s.m == nil {
		for _, e := range es {
			if e.key == key {
				return e.k
			}
		}
		return nil
	}
	if first, ok := s.m[key]; ok {
		return first
	}
	s.m[key] = n
	return nil
}

// keyDef is one key that a section of the file knows and what its value does.
type keyDef[T any] struct {
	name string
	set  func(d *decoder, t *T, n *yaml.Node)
}

// decodeKeys decodes a mapping of known keys into t.
func decodeKeys[T any](d *decoder, n *yaml.Node, what string, t *T, defs []keyDef[T]) bool {
	es, ok := d.entries(n, what)
	return decodeEntries(d, es, what, t, defs) && ok
}

// decodeEntries decodes the keys of a mapping into t; false means that decoding has to stop.
func decodeEntries[T any](d *decoder, es []entry, what string, t *T, defs []keyDef[T]) bool {
entries:
	for _, e := range es {
		if d.halted {
			return false
		}
		for i := range defs {
			if defs[i].name == e.key {
				defs[i].set(d, t, d.in(e.v))
				continue entries
			}
		}
		if d.full() {
			d.more++
			continue
		}
		names := make([]string, len(defs))
		for i := range defs {
			names[i] = defs[i].name
		}
		hint := instead(e.key, names)
		if hint == "" {
			hint = didYouMean(e.key, names)
		}
		d.errorf(e.k, "unknown key %q in %s%s", e.key, what, hint)
	}
	return true
}

// text takes a scalar as it was written: 012 stays 012.
func (d *decoder) text(n *yaml.Node, what string) (string, bool) {
	n = d.in(n)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.errorf(n, "%s must be text, not %s", what, typeName(n))
		return "", false
	}
	if strings.ContainsRune(n.Value, 0) {
		d.errorf(n, "%s holds a NUL character", what)
		return "", false
	}
	return n.Value, true
}

func (d *decoder) boolean(n *yaml.Node, what string) opt[bool] {
	n = d.in(n)
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		return opt[bool]{strings.EqualFold(n.Value, "true"), n}
	}
	hint := ""
	switch strings.ToLower(n.Value) {
	case "yes", "on", "y":
		hint = " (write true)"
	case "no", "off", "n":
		hint = " (write false)"
	}
	d.errorf(n, "%s must be true or false, not %s%s", what, typeName(n), hint)
	return opt[bool]{}
}

func (d *decoder) integer(n *yaml.Node, what string, least, most int64) (int64, bool) {
	n = d.in(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		kind := typeName(n)
		if kind == "a number" {
			kind = n.Value
		}
		d.errorf(n, "%s must be a whole number, not %s", what, kind)
		return 0, false
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	switch {
	case err != nil || v < least || v > most:
		if most == math.MaxInt64 {
			d.errorf(n, "%s must be a whole number of at least %d, not %s", what, least, n.Value)
		} else {
			d.errorf(n, "%s must be a whole number from %d to %d, not %s", what, least, most, n.Value)
		}
		return 0, false
	}
	return v, true
}

// number takes a number of a range.
func (d *decoder) number(n *yaml.Node, what string, least, most float64) (float64, bool) {
	n = d.in(n)
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" {
		d.errorf(n, "%s must be a number, not %s%s", what, typeName(n), asNumber(n.Value))
		return 0, false
	}
	v, err := strconv.ParseFloat(n.Value, 64)
	if err != nil || !(v >= least && v <= most) {
		d.errorf(n, "%s must be a number from %g to %g, not %s", what, least, most, n.Value)
		return 0, false
	}
	return v, true
}

// asNumber returns the number that a share in percent or in thousandths stands for, as
// " (write 0.2)", or "".
func asNumber(s string) string {
	for suffix, unit := range map[string]float64{"%": 100, "m": 1000} {
		if digits, ok := strings.CutSuffix(s, suffix); ok {
			if v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64); err == nil && v > 0 {
				return fmt.Sprintf(" (write %g for %s)", v/unit, s)
			}
		}
	}
	return ""
}

// size takes an amount of bytes.
func (d *decoder) size(n *yaml.Node, what string, least int64) (int64, bool) {
	n = d.in(n)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.errorf(n, "%s must be a size such as 64MiB, not %s", what, typeName(n))
		return 0, false
	}
	v, err := parseSize(n.Value)
	if err != nil {
		d.errorf(n, "%s must be a size such as 64MiB, not %q: %v", what, n.Value, err)
		return 0, false
	}
	if v < least {
		d.errorf(n, "%s must be at least %s, not %s", what, sizeText(least), n.Value)
		return 0, false
	}
	return v, true
}

// list gives the items of a list; empty counts as a list without items.
func (d *decoder) list(n *yaml.Node, what string) ([]*yaml.Node, bool) {
	n = d.in(n)
	if isNull(n) {
		return nil, true
	}
	if n.Kind != yaml.SequenceNode {
		d.errorf(n, "%s must be a list, not %s", what, typeName(n))
		return nil, false
	}
	return n.Content, true
}

// oneOrList gives the items of a list, or the value itself as the only one.
func (d *decoder) oneOrList(n *yaml.Node) []*yaml.Node {
	n = d.in(n)
	switch {
	case isNull(n):
		return nil
	case n.Kind == yaml.SequenceNode:
		return n.Content
	}
	return []*yaml.Node{n}
}

// each decodes a list item by item, leaving out those that are wrong. The result is never
// nil, so that an empty list is told from none.
func each[T any](d *decoder, items []*yaml.Node, decode func(n *yaml.Node) (T, bool)) []T {
	out := make([]T, 0, len(items))
	for _, n := range items {
		if d.halted {
			break
		}
		if v, ok := decode(d.in(n)); ok {
			out = append(out, v)
		}
	}
	return out
}

// texts takes a list of texts.
func (d *decoder) texts(n *yaml.Node, what string) ([]string, bool) {
	items, ok := d.list(n, what)
	if !ok {
		return nil, false
	}
	return each(d, items, func(n *yaml.Node) (string, bool) { return d.text(n, "an item of "+what) }), true
}

// textMap takes a mapping of names to texts.
func (d *decoder) textMap(n *yaml.Node, what string, check func(e entry) bool) opt[map[string]string] {
	es, ok := d.entries(n, what)
	if !ok {
		return opt[map[string]string]{}
	}
	m := make(map[string]string, len(es))
	for _, e := range es {
		if d.halted {
			break
		}
		if !check(e) {
			continue
		}
		if v, ok := d.text(e.v, what+" "+e.key); ok {
			m[e.key] = v
		}
	}
	return opt[map[string]string]{m, n}
}
