package wire

// Op is one step of a program: one thing a node init does to its node, in order. A
// program is data, planned and tested without a kernel.
type Op uint64

// The steps. Paths are as the node init sees them: before Enter those of the lab's own
// mount namespace, after it the node's. "In the root" means that symbolic links never
// lead out of the node's root.
const (
	OpMkdir       Op = iota + 1 // path, mode: a directory; one that exists stays
	OpMount                     // source, path, type, flags, data
	OpAttach                    // n, path: attach received mount n at path
	OpOverlayWeak               // path, data: an overlay whose lookups have no privilege over files
	OpRoot                      // path: from now on the root is this directory, for In steps
	OpKeep                      // path: a directory that the lab init gets, open, with Ready
	OpEnter                     // pivot (0 or 1): make the root "/"
	OpAttachIn                  // n, path, dir (0 or 1): attach received mount n in the root; what is missing is made
	OpTmpfsIn                   // path, data: a tmpfs in the root; what is missing is made
	OpMkdirIn                   // path: a directory in the root; what is missing is made
	OpWrite                     // path, content, mode: a new file
	OpHostname                  // name
	OpSysctl                    // path below /proc/sys, value
	OpCgroupNS                  // a cgroup namespace rooted where the process is now
	OpPrivileges                // capability mask, no_new_privs (0 or 1), seccomp program
	OpFindCommand               // argv[0], PATH, working directory: fails where the command could not be executed
)

// OpFail stands for a step that a test wants to fail, see internal/failpoint. Only a node init that was built for
// that knows it.
const OpFail Op = 1 << 16 // errno, kill (0 or 1)

// Step is an Op with its fields, and the words for it in an error.
type Step struct {
	Op     Op
	Label  string // "mount /proc"; stays with the sender
	Text   []string
	Number []uint64
}

// Encode appends a program.
func Encode(w *Writer, steps []Step) {
	for i := range steps {
		w.Uint(uint64(steps[i].Op))
		w.Strings(steps[i].Text)
		w.Uint(uint64(len(steps[i].Number)))
		for _, n := range steps[i].Number {
			w.Uint(n)
		}
	}
}

// DecodeStep takes one step.
func DecodeStep(r *Reader) Step {
	s := Step{Op: Op(r.Uint()), Text: r.Strings()}
	for n := r.Uint(); n > 0 && !r.Bad; n-- {
		s.Number = append(s.Number, r.Uint())
	}
	return s
}

// T is text field i, empty where there is none.
func (s *Step) T(i int) string {
	if i < len(s.Text) {
		return s.Text[i]
	}
	return ""
}

// N is number field i, 0 where there is none.
func (s *Step) N(i int) uint64 {
	if i < len(s.Number) {
		return s.Number[i]
	}
	return 0
}
