package bootdirs

import (
	"path"
	"slices"
	"strings"
)

// shell looks for commands that make directories in what a shell would execute, which it does not.
type shell struct {
	env   map[string]string
	read  func(path string) (string, bool) // a file of the root
	wants []want
	depth int // of scripts in scripts
}

const deepest = 3

// maxWord bounds what variables can blow a word up to.
const maxWord = 4096

// execStartPre looks at the value of a setting ExecStartPre=: a command, perhaps a shell's, or a
// script.
func (p *shell) execStartPre(line string) {
	line, known := specifiers(strings.TrimLeft(line, "-@:+!|"))
	if !known {
		return
	}
	argv := quoted(line)
	if len(argv) == 0 {
		return
	}
	if isShell(argv[0]) && len(argv) >= 3 && strings.HasSuffix(argv[1], "c") {
		p.script(argv[2])
		return
	}
	for i := range argv {
		var ok bool
		if argv[i], ok = p.expand(argv[i]); !ok {
			return
		}
	}
	if p.command(argv) {
		return
	}
	text, ok := p.read(argv[0])
	if first, _, _ := strings.Cut(text, "\n"); ok && strings.HasPrefix(first, "#!") {
		if words := strings.Fields(first[2:]); len(words) > 0 && isShell(words[0]) {
			p.script(text)
		}
	}
}

func isShell(program string) bool {
	return slices.Contains([]string{"sh", "bash", "dash"}, path.Base(program))
}

// script looks at the text of a script.
func (p *shell) script(text string) {
	if p.depth++; p.depth <= deepest {
		s := scanner{text: text, shell: p}
		s.run()
	}
	p.depth--
}

// assign takes NAME=VALUE over, and reports whether the word is one.
func (p *shell) assign(word string) bool {
	name, value, ok := strings.Cut(word, "=")
	if ok = ok && isName(name); ok {
		p.env[name] = value
	}
	return ok
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// source takes the assignments of a file over.
func (p *shell) source(path string) {
	text, ok := p.read(path)
	if !ok {
		return
	}
	for line := range strings.Lines(text) {
		if words := quoted(strings.TrimSpace(line)); len(words) == 1 {
			p.assign(words[0])
		}
	}
}

// variable returns the value of the variable whose name text begins with, behind its dollar sign, and
// how long that is. Ok tells whether there is one.
func (p *shell) variable(text string) (value string, length int, ok bool) {
	var name string
	if rest, braces := strings.CutPrefix(text, "{"); braces {
		name, _, _ = strings.Cut(rest, "}")
		length = len(name) + 2
	} else {
		for length < len(text) && isName(text[:length+1]) {
			length++
		}
		name = text[:length]
	}
	value, ok = p.env[name]
	return value, min(length, len(text)), ok
}

// expand replaces variables in a word of a unit, and reports whether all are known.
func (p *shell) expand(word string) (string, bool) {
	var b strings.Builder
	for b.Len() <= maxWord {
		before, rest, found := strings.Cut(word, "$")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		value, length, ok := p.variable(rest)
		if !ok {
			return "", false
		}
		b.WriteString(value)
		word = rest[length:]
	}
	return "", false
}

// command takes over what a command does to directories, and reports whether it is one of those
// that are known.
func (p *shell) command(argv []string) bool {
	name := path.Base(argv[0])
	switch name {
	case "mkdir", "install":
		a := parseArguments(argv[1:])
		w, ok := want{mode: defaultMode, user: a.owner, group: a.group}, true
		if a.mode != "" {
			w.mode, ok = mode(a.mode)
		}
		if !ok || name == "install" && !a.directory {
			return true
		}
		for _, word := range a.words {
			if w.path, ok = clean(word); ok && len(p.wants) < maxDirs {
				p.wants = append(p.wants, w)
			}
		}
	case "chown", "chmod":
		var words []string
		for _, a := range argv[1:] {
			if !strings.HasPrefix(a, "-") {
				words = append(words, a)
			}
		}
		if len(words) > 1 {
			p.change(name, words[0], words[1:])
		}
	default:
		return false
	}
	return true
}

// arguments are what mkdir or install is called with.
type arguments struct {
	words              []string
	directory          bool
	mode, owner, group string
}

func parseArguments(args []string) (a arguments) {
	long := map[string]string{"--directory": "-d", "--mode": "-m", "--owner": "-o", "--group": "-g"}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if strings.HasPrefix(arg, "--") {
			name, value, _ := strings.Cut(arg, "=")
			if arg = long[name] + value; long[name] == "" {
				continue
			}
		}
		if len(arg) < 2 || arg[0] != '-' {
			a.words = append(a.words, arg)
			continue
		}
		for i := 1; i < len(arg); i++ {
			var value *string
			switch arg[i] {
			case 'd':
				a.directory = true
			case 'm':
				value = &a.mode
			case 'o':
				value = &a.owner
			case 'g':
				value = &a.group
			}
			if value == nil {
				continue
			}
			if *value = arg[i+1:]; *value == "" && len(args) > 0 {
				*value, args = args[0], args[1:]
			}
			break
		}
	}
	return a
}

// change does chown or chmod to directories that were made before.
func (p *shell) change(name, to string, paths []string) {
	for _, word := range paths {
		at, ok := clean(word)
		if !ok {
			continue
		}
		for i := range p.wants {
			w := &p.wants[i]
			if w.path != at {
				continue
			}
			if name == "chmod" {
				if m, ok := mode(to); ok {
					w.mode = m
				}
				continue
			}
			user, group, both := strings.Cut(to, ":")
			if user != "" {
				w.user = user
			}
			if both {
				w.group = group
			}
			if both && group == "" {
				w.group = ofUser
			}
		}
	}
}
