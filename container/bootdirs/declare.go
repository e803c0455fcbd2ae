package bootdirs

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// want is a directory as it is declared, with its owner by name or number; empty is root.
type want struct {
	path        string // from the root, without a slash in front
	mode        uint32
	user, group string
}

const defaultMode = 0o755

// areas are where directories are made.
var areas = [...]string{"run/", "var/lib/", "var/cache/", "var/log/", "var/spool/"}

// foreign are directories of service managers, of container engines and of nsnet, none of which runs
// in a node. A program that finds /run/systemd/system takes it that systemd does: sd_booted(3).
var foreign = [...]string{"run/netns", "run/nsnet", "run/user", "run/systemd", "run/udev", "run/docker", "run/containerd",
	"run/containers", "run/credentials", "run/log", "var/lib/nsnet", "var/lib/systemd", "var/lib/private", "var/cache/private", "var/log/private"}

// clean returns the path of a declared directory as a want has it, and whether it is one that may be
// made. As for systemd, /var/run is /run.
func clean(declared string) (string, bool) {
	const longest, longestName = 512, 255
	names := strings.Split(declared, "/")
	if !strings.HasPrefix(declared, "/") || len(declared) > longest ||
		slices.ContainsFunc(names, func(n string) bool { return n == ".." || len(n) > longestName }) {
		return "", false
	}
	if strings.ContainsFunc(declared, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false
	}
	p := path.Clean(declared)[1:]
	if rest, ok := strings.CutPrefix(p, "var/run/"); ok {
		p = "run/" + rest
	}
	if !slices.ContainsFunc(areas[:], func(a string) bool { return strings.HasPrefix(p, a) }) {
		return "", false
	}
	if slices.ContainsFunc(foreign[:], func(f string) bool { return p == f || strings.HasPrefix(p, f+"/") }) {
		return "", false
	}
	return p, true
}

// mode returns the value of an octal mode, and whether it is one.
func mode(octal string) (uint32, bool) {
	m, err := strconv.ParseUint(octal, 8, 32)
	return uint32(m), err == nil && m <= 0o7777
}

// specifiers replaces those of systemd.unit(5) that mean the same in every root. Of others the whole
// text is worth nothing.
func specifiers(text string) (string, bool) {
	if !strings.Contains(text, "%") {
		return text, true
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		i++
		if i == len(text) {
			return "", false
		}
		switch text[i] {
		case '%':
			b.WriteByte('%')
		case 't':
			b.WriteString("/run")
		case 'S':
			b.WriteString("/var/lib")
		case 'C':
			b.WriteString("/var/cache")
		case 'L':
			b.WriteString("/var/log")
		default:
			return "", false
		}
	}
	return b.String(), true
}

// tmpfiles returns the directories that a file of tmpfiles.d(5) declares. Ages, and all lines that
// make anything else, are ignored; so are the credentials of modifier ^.
func tmpfiles(text string) []want {
	var all []want
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := quoted(line)
		if len(f) < 2 || f[0] == "" || !strings.Contains("dDvqQ", f[0][:1]) || strings.Trim(f[0][1:], "!-+=~$") != "" {
			continue
		}
		declared, ok := specifiers(f[1])
		if !ok {
			continue
		}
		w := want{mode: defaultMode}
		if w.path, ok = clean(declared); !ok {
			continue
		}
		field := func(i int) string {
			if i >= len(f) || f[i] == "-" {
				return ""
			}
			return strings.TrimLeft(f[i], ":~") // only what is new has it, and it is; see tmpfiles.d(5)
		}
		if m := field(2); m != "" {
			if w.mode, ok = mode(m); !ok {
				continue
			}
		}
		w.user, w.group = field(3), field(4)
		all = append(all, w)
	}
	return all
}

// quoted splits a line into words at white space, as systemd does: with quotes of both kinds, and
// backslashes. A line whose quotes do not end has no words.
func quoted(line string) []string {
	var words []string
	var b strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line) && quote != '\'':
			i++
			b.WriteByte(line[i])
			in = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t':
			if in {
				words = append(words, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		return nil
	}
	if in {
		words = append(words, b.String())
	}
	return words
}
