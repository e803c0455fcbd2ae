package wire

// Server is a program that serves a FUSE file system. All paths are those of its root, which is the working directory
// of whoever starts it.
type Server struct {
	Argv   []string // the last is where it is told to mount
	Env    []string
	Hide   string // a name in the mount's root that is covered by
	Cover  string // an empty file
	Caps   uint64 // capabilities that it keeps
	Filter string // seccomp program
}

// Encode appends s to w.
func (s *Server) Encode(w *Writer) {
	w.Strings(s.Argv)
	w.Strings(s.Env)
	w.String(s.Hide)
	w.String(s.Cover)
	w.Uint(s.Caps)
	w.String(s.Filter)
}

// DecodeServer takes one from r.
func DecodeServer(r *Reader) Server {
	return Server{Argv: r.Strings(), Env: r.Strings(), Hide: r.String(), Cover: r.String(), Caps: r.Uint(), Filter: r.String()}
}
