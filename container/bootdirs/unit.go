package bootdirs

import (
	"path"
	"strings"
)

// bases are the settings of a service that name directories, and where these are.
var bases = [...]struct{ setting, base string }{
	{"RuntimeDirectory", "/run/"}, {"StateDirectory", "/var/lib/"}, {"CacheDirectory", "/var/cache/"}, {"LogsDirectory", "/var/log/"},
}

// unit returns the directories that a service expects, by its unit file and drop-ins, whose text is
// behind the unit's own. Read returns other files of the same root.
func unit(text string, read func(path string) (string, bool)) []want {
	if !strings.Contains(text, "Directory=") && !strings.Contains(text, "ExecStartPre=") {
		return nil // as with most
	}
	s := settings(text)
	last := func(key string) string {
		if l := s[key]; len(l) > 0 {
			return l[len(l)-1]
		}
		return ""
	}
	owner := want{}
	if d := last("DynamicUser"); d != "yes" && d != "true" && d != "1" && d != "on" {
		owner.user, owner.group = last("User"), last("Group")
		if owner.group == "" && owner.user != "" {
			owner.group = ofUser
		}
	}
	var all []want
	for _, b := range bases {
		m, ok := uint32(defaultMode), true
		if octal := last(b.setting + "Mode"); octal != "" {
			m, ok = mode(octal)
		}
		for _, value := range s[b.setting] {
			for _, name := range quoted(value) {
				name, _, _ = strings.Cut(name, ":") // behind it are links to it
				name, known := specifiers(name)
				if !known || !ok || name == "" || path.IsAbs(name) {
					continue
				}
				w := owner
				w.mode = m
				if w.path, known = clean(b.base + name); known {
					all = append(all, w)
				}
			}
		}
	}
	if len(s["ExecStartPre"]) == 0 {
		return all
	}
	p := shell{env: map[string]string{}, read: read}
	for _, e := range s["Environment"] {
		for _, assignment := range quoted(e) {
			p.assign(assignment)
		}
	}
	for _, f := range s["EnvironmentFile"] {
		p.source(strings.TrimPrefix(f, "-"))
	}
	for _, line := range s["ExecStartPre"] {
		p.execStartPre(line)
	}
	return append(all, p.wants...)
}

// settings returns the values of each key of the section Service. As systemd.syntax(7) has it, an
// empty value takes back what was before, and a line may go on behind a backslash.
func settings(text string) map[string][]string {
	s := map[string][]string{}
	in, line := false, ""
	for next := range strings.Lines(text) {
		next = strings.TrimRight(next, "\r\n")
		if t := strings.TrimSpace(next); line != "" && (strings.HasPrefix(t, "#") || strings.HasPrefix(t, ";")) {
			continue // a comment in between
		}
		line += next
		if rest, more := strings.CutSuffix(line, "\\"); more {
			line = rest + " "
			continue
		}
		l := strings.TrimSpace(line)
		line = ""
		switch {
		case l == "" || l[0] == '#' || l[0] == ';':
		case l[0] == '[':
			in = l == "[Service]"
		case in:
			key, value, ok := strings.Cut(l, "=")
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
			switch {
			case !ok:
			case value == "":
				delete(s, key)
			default:
				s[key] = append(s[key], value)
			}
		}
	}
	return s
}
