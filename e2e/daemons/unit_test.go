package daemons

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// service is how a unit file starts its daemon.
type service struct {
	argv    []string
	dir     string // it starts there
	forks   bool   // into the background
	env     []string
	envFrom []string // files with more of it
}

// parseService returns what a unit file says of its service, for an instance of it. Variables are as they are.
func parseService(text, instance string) (service, error) {
	var s service
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		value = strings.NewReplacer("%i", instance, "%I", instance, "%t", "/run", "%%", "%").Replace(value)
		switch key {
		case "ExecStart":
			s.argv = words(strings.TrimLeft(value, "-@:+!"))
		case "WorkingDirectory":
			s.dir = value
		case "Type":
			s.forks = value == "forking"
		case "Environment":
			s.env = append(s.env, words(value)...)
		case "EnvironmentFile":
			s.envFrom = append(s.envFrom, strings.TrimPrefix(value, "-"))
		}
	}
	if len(s.argv) == 0 {
		return s, fmt.Errorf("no ExecStart in\n%s", text)
	}
	return s, nil
}

// words splits a command line as systemd does, as far as Debian's units need it.
func words(line string) []string {
	var all []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if q := line[0]; q == '\'' || q == '"' {
			word, rest, _ := strings.Cut(line[1:], string(q))
			all, line = append(all, word), rest
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		all, line = append(all, word), rest
	}
	return all
}

// resolve replaces variables as systemd does: $NAME as a word of its own is as many words as its value has, ${NAME}
// is part of a word. One that is not set is empty.
func (s *service) resolve() {
	value := func(name string) string {
		for _, e := range slices.Backward(s.env) {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v
			}
		}
		return ""
	}
	var argv []string
	for _, w := range s.argv {
		if name, ok := strings.CutPrefix(w, "$"); ok && !strings.HasPrefix(name, "{") {
			argv = append(argv, words(value(name))...)
			continue
		}
		for {
			before, rest, found := strings.Cut(w, "${")
			name, after, closed := strings.Cut(rest, "}")
			if !found || !closed {
				break
			}
			w = before + value(name) + after
		}
		argv = append(argv, w)
	}
	s.argv = argv
}

// assignments are those of a file that EnvironmentFile= names.
func assignments(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			all = append(all, name+"="+strings.Trim(value, `"'`))
		}
	}
	return all
}

func TestParseService(t *testing.T) {
	t.Parallel()
	s, err := parseService("[Service]\nType=forking\nEnvironmentFile=-/etc/default/x\nEnvironment=B=2\nWorkingDirectory=/srv/%i\n"+
		"ExecStart=/usr/sbin/x -f 'a b' $A --b=${B} %t/%i $C\n", "one")
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, assignments("# A=0\nA=\"1 2\"\n")...)
	s.resolve()
	if got, want := fmt.Sprintf("%q %s %v %v", s.argv, s.dir, s.forks, s.envFrom), `["/usr/sbin/x" "-f" "a b" "1" "2" "--b=2" "/run/one"] /srv/one true [/etc/default/x]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := parseService("[Service]\n", ""); err == nil {
		t.Error("a unit without a command is one")
	}
}
