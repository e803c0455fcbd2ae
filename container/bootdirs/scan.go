package bootdirs

import "strings"

// scanner finds the simple commands of a script. What it does not know of a shell's language makes a
// word unknown, and a command with an unknown word is none.
type scanner struct {
	text  string
	at    int
	shell *shell

	words   []string
	unknown []bool
	word    strings.Builder
	in      bool // a word has begun
	doubt   bool // it is unknown
}

func (s *scanner) run() {
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch c {
		case ' ', '\t', '\r':
			s.endWord()
		case '\n', ';', '&', '|', '(', ')':
			s.endCommand()
		case '#':
			if s.in {
				s.add(c)
			} else {
				s.skipTo("\n")
			}
		case '\'':
			s.in = true
			end := strings.IndexByte(s.text[s.at:], '\'')
			if end < 0 {
				return
			}
			s.write(s.text[s.at : s.at+end])
			s.at += end + 1
		case '"':
			if !s.double() {
				return
			}
		case '\\':
			if s.at < len(s.text) && s.text[s.at] != '\n' {
				s.add(s.text[s.at])
			}
			s.at++
		case '$':
			s.dollar()
		case '<', '>':
			s.redirection()
		case '`', '*', '?', '[', '~', '{':
			s.add(c)
			s.doubt = true
		default:
			s.add(c)
		}
	}
	s.endCommand()
}

func (s *scanner) add(c byte) {
	s.in = true
	s.word.WriteByte(c)
}

func (s *scanner) write(text string) {
	if s.word.Len()+len(text) > maxWord {
		s.doubt = true
		return
	}
	s.word.WriteString(text)
}

// skipTo goes on in front of the next of these bytes.
func (s *scanner) skipTo(these string) {
	if end := strings.IndexAny(s.text[s.at:], these); end >= 0 {
		s.at += end
	} else {
		s.at = len(s.text)
	}
}

// double reads what is in double quotes, and reports whether they end.
func (s *scanner) double() bool {
	s.in = true
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch c {
		case '"':
			return true
		case '$':
			s.dollar()
		case '`':
			s.doubt = true
		case '\\':
			if s.at < len(s.text) {
				s.add(s.text[s.at])
				s.at++
			}
		default:
			s.add(c)
		}
	}
	return false
}

// dollar reads a variable. Anything else that a dollar sign begins is unknown.
func (s *scanner) dollar() {
	s.in = true
	value, length, ok := s.shell.variable(s.text[s.at:])
	s.at += length
	if !ok {
		s.doubt = true
		return
	}
	s.write(value)
}

// redirection leaves out where a command's output goes, and a descriptor in front of it.
func (s *scanner) redirection() {
	if s.in && strings.Trim(s.word.String(), "0123456789") == "" {
		s.word.Reset()
		s.in, s.doubt = false, false
	}
	s.endWord()
	for s.at < len(s.text) && strings.IndexByte("<>&| \t", s.text[s.at]) >= 0 {
		s.at++
	}
	s.skipTo(" \t\r\n;&|()")
}

func (s *scanner) endWord() {
	if !s.in {
		return
	}
	s.words, s.unknown = append(s.words, s.word.String()), append(s.unknown, s.doubt)
	s.word.Reset()
	s.in, s.doubt = false, false
}

// endCommand takes over what the words so far do.
func (s *scanner) endCommand() {
	s.endWord()
	words, unknown := s.words, s.unknown
	s.words, s.unknown = nil, nil
	for len(words) > 0 {
		switch words[0] {
		case "if", "then", "else", "elif", "do", "while", "until", "!", "{", "exec", "command":
			words, unknown = words[1:], unknown[1:]
			continue
		}
		name, _, assignment := strings.Cut(words[0], "=")
		if !assignment || !isName(name) {
			break
		}
		if s.shell.assign(words[0]); unknown[0] {
			delete(s.shell.env, name)
		}
		words, unknown = words[1:], unknown[1:]
	}
	if len(words) == 0 {
		return
	}
	for _, u := range unknown {
		if u {
			return
		}
	}
	if s.shell.command(words); len(words) == 2 && (words[0] == "." || words[0] == "source") {
		s.shell.source(words[1])
	}
}
