package attach

import "strings"

// Error is what the functions of this package return: at which interface of which target what
// was being done, why it failed, and what the user can do. Empty fields are left out.
type Error struct {
	Target    string // "container web"
	Interface string
	Op        string // lower-case verb phrase: "plug into"
	Object    string // bridge docker0
	Err       error
	Remedy    string // one sentence, without a full stop
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Target != "" {
		b.WriteString(e.Target)
		if e.Interface != "" {
			b.WriteString(" " + e.Interface)
		}
		b.WriteString(": ")
	}
	if what := strings.TrimSpace(e.Op + " " + e.Object); what != "" {
		b.WriteString(what + ": ")
	}
	b.WriteString(e.Err.Error())
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }
