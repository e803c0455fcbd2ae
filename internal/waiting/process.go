package waiting

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// Process names a process, with what keeps it from going on: "pid 24, which is stopped (kill -CONT 24 lets it go on)". proc_pid_stat(5).
func Process(pid int) string {
	text := fmt.Sprintf("pid %d", pid)
	switch s := state(pid); s {
	case 0:
	case 'T':
		text += fmt.Sprintf(", which is stopped (kill -CONT %d lets it go on)", pid)
	case 't':
		text += ", which a debugger has stopped"
	case 'D':
		text += ", which waits in the kernel (state D)"
	case 'Z', 'X':
		text += ", which has ended"
	default:
		text += fmt.Sprintf(", which is not stopped (state %c)", s)
	}
	return text
}

// Stopped reports whether a process was stopped, by a signal or a debugger, and so does nothing until somebody lets it go on.
func Stopped(pid int) bool {
	s := state(pid)
	return s == 'T' || s == 't'
}

// state is the letter of a process's state, 0 where there is no such process.
func state(pid int) byte {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name before it may have any bytes, brackets too.
	rest := bytes.TrimLeft(b[bytes.LastIndexByte(b, ')')+1:], " ")
	if len(rest) == 0 {
		return 0
	}
	return rest[0]
}

// commandMax is how much of a command is shown.
const commandMax = 80

// Command is what a process was started as, "nsnet up demo.yaml", shortened; "" where that is not to be seen. proc_pid_cmdline(5).
func Command(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	s := strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(string(b), "?"), "\x00", " "))
	if utf8.RuneCountInString(s) > commandMax {
		s = string([]rune(s)[:commandMax-1]) + "…"
	}
	return s
}
