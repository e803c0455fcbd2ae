package topology

import (
	"math"
	"regexp/syntax"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// What a check has that the file does not say.
const (
	defaultInterval    = 5_000
	defaultTimeout     = 3_000
	defaultStartPeriod = 30_000
	defaultRetries     = 3
	leastInterval      = 10 // ms: a check that is never at rest is a mistake
)

// restart understands a policy: no, on-failure, on-failure:N, always.
func (d *decoder) restart(n *yaml.Node) opt[Restart] {
	s, ok := d.text(n, "restart")
	if !ok {
		return opt[Restart]{}
	}
	mode, times, counted := strings.Cut(s, ":")
	switch {
	case s == "no":
		return opt[Restart]{Restart{}, n}
	case s == RestartAlways, s == RestartOnFailure:
		return opt[Restart]{Restart{Mode: s}, n}
	case counted && mode == RestartOnFailure:
		v, err := strconv.Atoi(times)
		if err != nil || v < 1 || v > math.MaxInt32 {
			d.errorf(n, "restart %q: the number of tries must be a whole number from 1", s)
			return opt[Restart]{}
		}
		return opt[Restart]{Restart{Mode: mode, Max: v}, n}
	}
	d.errorf(n, "restart %q is none of no, on-failure, on-failure:N and always%s", s, didYouMean(mode, []string{"no", RestartOnFailure, RestartAlways}))
	return opt[Restart]{}
}

// dependSpec is an item of depends_on.
type dependSpec struct {
	Dependency
	n *yaml.Node // the other node's name
}

// dependsOn understands a list of nodes, or a mapping of nodes to conditions.
func (d *decoder) dependsOn(n *yaml.Node) opt[[]dependSpec] {
	const what = "depends_on"
	n = d.in(n)
	var all []dependSpec
	switch {
	case n.Kind == yaml.MappingNode:
		es, _ := d.entries(n, what)
		for _, e := range es {
			s := dependSpec{Dependency{e.key, DependStarted}, e.k}
			if v := d.in(e.v); !isNull(v) {
				decodeKeys(d, v, "depends_on "+e.key, &s, dependKeys())
			}
			all = append(all, s)
		}
	default:
		items, ok := d.list(n, what)
		if !ok {
			return opt[[]dependSpec]{}
		}
		seen := map[string]bool{}
		all = each(d, items, func(n *yaml.Node) (dependSpec, bool) {
			s, ok := d.text(n, "an item of depends_on")
			if ok && seen[s] {
				d.errorf(n, "node %q is in depends_on twice", s)
				return dependSpec{}, false
			}
			seen[s] = true
			return dependSpec{Dependency{s, DependStarted}, n}, ok
		})
	}
	return opt[[]dependSpec]{all, n}
}

func dependKeys() []keyDef[dependSpec] {
	return []keyDef[dependSpec]{
		{"condition", func(d *decoder, s *dependSpec, n *yaml.Node) {
			v, ok := d.text(n, "condition")
			switch {
			case !ok:
			case v == DependStarted || v == DependReady || v == DependExited:
				s.Condition = v
			default:
				d.errorf(n, "condition %q is none of started, ready and exited%s", v, didYouMeanCondition(v))
			}
		}},
	}
}

// didYouMeanCondition knows the conditions of Docker Compose, too.
func didYouMeanCondition(v string) string {
	if own, ok := map[string]string{
		"service_started": DependStarted, "service_healthy": DependReady, "healthy": DependReady, "service_completed_successfully": DependExited,
	}[v]; ok {
		return ` (did you mean "` + own + `"?)`
	}
	return didYouMean(v, []string{DependStarted, DependReady, DependExited})
}

// readySpec is a check as the file says it.
type readySpec struct {
	exec                           opt[[]string]
	tcp                            opt[int64]
	http                           opt[HTTPCheck]
	log                            opt[string]
	interval, timeout, startPeriod opt[int64]
	retries                        opt[int64]
}

func readyKeys() []keyDef[readySpec] {
	return []keyDef[readySpec]{
		{"exec", func(d *decoder, s *readySpec, n *yaml.Node) { s.exec = d.command(n, "exec") }},
		{"tcp", func(d *decoder, s *readySpec, n *yaml.Node) { s.tcp = d.portNumber(n, "tcp") }},
		{"http", func(d *decoder, s *readySpec, n *yaml.Node) { s.http = d.httpCheck(n) }},
		{"log", func(d *decoder, s *readySpec, n *yaml.Node) {
			if v, ok := d.text(n, "log"); ok {
				d.expression(n, v)
				s.log = opt[string]{v, n}
			}
		}},
		{"interval", func(d *decoder, s *readySpec, n *yaml.Node) { s.interval = d.duration(n, "interval", leastInterval) }},
		{"timeout", func(d *decoder, s *readySpec, n *yaml.Node) { s.timeout = d.duration(n, "timeout", 1) }},
		{"start_period", func(d *decoder, s *readySpec, n *yaml.Node) { s.startPeriod = d.duration(n, "start_period", 0) }},
		{"retries", func(d *decoder, s *readySpec, n *yaml.Node) {
			if v, ok := d.integer(n, "retries", 1, math.MaxInt32); ok {
				s.retries = opt[int64]{v, n}
			}
		}},
	}
}

// maxProgram bounds a regular expression, in instructions: it is matched with each line of a node's
// output, at a cost of so much for each byte of that.
const maxProgram = 1000

// expression checks a regular expression. Each costs as much as many YAML nodes, the same one again nothing.
func (d *decoder) expression(n *yaml.Node, s string) {
	const most, cost = 1024, 500
	if len(s) > most {
		d.errorf(n, "log is %d bytes long, %d are allowed", len(s), most)
		return
	}
	if d.expressions[s] || !d.spend(n, cost) {
		return
	}
	re, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		d.errorf(n, "log %q is not a regular expression: %s", s, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return
	}
	size := programSize(re)
	if size > maxProgram {
		d.errorf(n, "log %q is too large a regular expression: what is repeated counts for each time", s)
		return
	}
	if !d.spend(n, cost*size/100) {
		return
	}
	if d.expressions == nil {
		d.expressions = map[string]bool{}
	}
	d.expressions[s] = true
}

// programSize returns about how many instructions a regular expression is compiled to, or more than
// maxProgram.
func programSize(re *syntax.Regexp) int {
	size := 1 + len(re.Rune)/2
	for _, sub := range re.Sub {
		size += programSize(sub)
		if size > maxProgram {
			return size
		}
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min+1, re.Max)
	}
	return min(size, maxProgram+1)
}

func (d *decoder) portNumber(n *yaml.Node, what string) opt[int64] {
	if v, ok := d.integer(n, what, 1, 65535); ok {
		return opt[int64]{v, n}
	}
	return opt[int64]{}
}

func httpKeys() []keyDef[HTTPCheck] {
	return []keyDef[HTTPCheck]{
		{"port", func(d *decoder, h *HTTPCheck, n *yaml.Node) { h.Port = int(d.portNumber(n, "port").v) }},
		{"path", func(d *decoder, h *HTTPCheck, n *yaml.Node) {
			s, ok := d.text(n, "path")
			if ok && (!strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })) {
				d.errorf(n, "path %q must begin with / and be without blanks", s)
			}
			h.Path = s
		}},
		{"status", func(d *decoder, h *HTTPCheck, n *yaml.Node) {
			v, _ := d.integer(n, "status", 100, 599)
			h.Status = int(v)
		}},
	}
}

func (d *decoder) httpCheck(n *yaml.Node) opt[HTTPCheck] {
	h := HTTPCheck{Port: 80, Path: "/"}
	if !decodeKeys(d, n, "http", &h, httpKeys()) {
		return opt[HTTPCheck]{}
	}
	return opt[HTTPCheck]{h, n}
}

// ready understands a check; empty is none, which takes back that of the defaults.
func (d *decoder) ready(n *yaml.Node) opt[*Ready] {
	if isNull(d.in(n)) {
		return opt[*Ready]{nil, n}
	}
	var s readySpec
	before := len(d.errs) + d.more
	if !decodeKeys(d, n, "ready", &s, readyKeys()) || len(d.errs)+d.more != before {
		return opt[*Ready]{}
	}
	given := 0
	for _, key := range []*yaml.Node{s.exec.n, s.tcp.n, s.http.n, s.log.n} {
		if key != nil {
			given++
		}
	}
	switch {
	case given == 0:
		d.errorf(n, "ready needs one of exec, tcp, http and log")
		return opt[*Ready]{}
	case given > 1:
		d.errorf(n, "ready takes one of exec, tcp, http and log, not %d of them", given)
		return opt[*Ready]{}
	case s.exec.n != nil && len(s.exec.v) == 0, s.log.n != nil && s.log.v == "":
		d.errorf(n, "the check of ready is empty")
		return opt[*Ready]{}
	}
	def := func(o opt[int64], v int64) int64 {
		if o.n != nil {
			return o.v
		}
		return v
	}
	r := &Ready{Exec: orNil(s.exec.v), TCP: int(s.tcp.v), Log: s.log.v,
		IntervalMS: def(s.interval, defaultInterval), TimeoutMS: def(s.timeout, defaultTimeout),
		StartPeriodMS: def(s.startPeriod, defaultStartPeriod), Retries: int(def(s.retries, defaultRetries))}
	if s.http.n != nil {
		r.HTTP = &s.http.v
	}
	return opt[*Ready]{r, n}
}
