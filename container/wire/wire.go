package wire

// Kind tells what a message is.
type Kind uint32

// Messages of the lab init to a node init, back, and between a node init and a client of exec.
const (
	Boot    Kind = iota + 1 // program; once
	Post                    // program; after the links are there
	Start                   // Command; descriptors: log, older log
	Exec                    // Command; descriptors: the client's socket, then stdin if Streams do not ask for a pipe
	Signal                  // number; on a client's socket, to its command's process group; answered by Heard
	Ready                   // nothing; descriptors: those of OpKeep
	Failed                  // step, errno, text
	Started                 // pid as the node sees it; descriptors: the terminal's master, if one was asked for, or the client's ends of Streams
	Exited                  // wait status
	Kill                    // signal, 0: none is sent, and 1: to all processes of the command, 0: to the command; answered by Left
	Left                    // pids of the command's processes, as the node sees them; after Kill, and each time that some have ended until none is left
	Share                   // 1: tell of the command's output, 0: no more
	Output                  // output of the command
	Spawn                   // to a spawner: name, first id, privileged (0 or 1); descriptor: the new node init's socket
	Heard                   // to a client of exec: its signal was passed on
)

// HeaderSize is the length of a message's header in bytes.
const HeaderSize = 8

// PutHeader writes the header of a message of kind k with a body of n bytes.
func PutHeader(b *[HeaderSize]byte, k Kind, n int) {
	put32(b[0:4], uint32(n))
	put32(b[4:8], uint32(k))
}

// Header reads what PutHeader wrote.
func Header(b *[HeaderSize]byte) (k Kind, n int) {
	return Kind(get32(b[4:8])), int(get32(b[0:4]))
}

func put32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func get32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// Writer builds a body field by field. The zero value is ready.
type Writer struct{ b []byte }

// Uint appends a number.
func (w *Writer) Uint(v uint64) {
	for v >= 0x80 {
		w.b = append(w.b, byte(v)|0x80)
		v >>= 7
	}
	w.b = append(w.b, byte(v))
}

// String appends a string of any bytes.
func (w *Writer) String(s string) {
	w.Uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

// Strings appends a list of strings.
func (w *Writer) Strings(l []string) {
	w.Uint(uint64(len(l)))
	for _, s := range l {
		w.String(s)
	}
}

// Bytes is the body so far.
func (w *Writer) Bytes() []byte { return w.b }

// Reader takes a body apart. After the first malformed field Bad is set and every
// further field is its zero value.
type Reader struct {
	b   []byte
	Bad bool
}

// NewReader reads from b, which it keeps.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// More tells whether a field is left.
func (r *Reader) More() bool { return !r.Bad && len(r.b) > 0 }

// Uint takes a number.
func (r *Reader) Uint() uint64 {
	var v uint64
	for i := 0; i < 10 && i < len(r.b); i++ {
		c := r.b[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.b = r.b[i+1:]
			return v
		}
	}
	r.b, r.Bad = nil, true
	return 0
}

// String takes a string.
func (r *Reader) String() string {
	n := r.Uint()
	if r.Bad || n > uint64(len(r.b)) {
		r.b, r.Bad = nil, true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// Strings takes a list of strings.
func (r *Reader) Strings() []string {
	n := r.Uint()
	if r.Bad || n > uint64(len(r.b)) {
		r.b, r.Bad = nil, true
		return nil
	}
	l := make([]string, 0, n)
	for ; n > 0 && !r.Bad; n-- {
		l = append(l, r.String())
	}
	return l
}

// Command is a process to start in a node.
type Command struct {
	Argv    []string
	Env     []string
	Workdir string
	User    string
	TTY     bool
	Streams Streams // without TTY
	Rows    uint16  // of the terminal, 0: not known
	Columns uint16
}

// Streams say which of a command's standard streams are pipes that the node's init makes, owned by the command's user, and of which the
// client gets the other ends: stdin's, stdout's, stderr's. None: the client's own descriptors come with the request, as from
// nsnet before it relayed.
type Streams uint8

// What Streams are made of.
const (
	OutputPipes Streams = 1 << iota // stdout and stderr are pipes
	InputPipe                       // stdin is one, too, and not the descriptor that comes with the request
	OneOutput                       // stdout and stderr are the same pipe
	Itself                          // no stream: the program is nsnet, whatever its name; an older init looks for one of that name
	Look                            // no stream: nothing is started, and it is answered by Ready where the command could be; an older init says EBADF of stdio then
)

// Encode appends c.
func (c *Command) Encode(w *Writer) {
	w.Strings(c.Argv)
	w.Strings(c.Env)
	w.String(c.Workdir)
	w.String(c.User)
	streams := uint64(c.Streams) << 1 // an init that knows but 0 and 1 then misses the descriptors that it wants
	if c.TTY {
		streams |= 1
	}
	w.Uint(streams)
	w.Uint(uint64(c.Rows))
	w.Uint(uint64(c.Columns))
}

// DecodeCommand takes what Encode appended.
func DecodeCommand(r *Reader) Command {
	c := Command{Argv: r.Strings(), Env: r.Strings(), Workdir: r.String(), User: r.String()}
	streams := r.Uint()
	c.TTY, c.Streams = streams&1 != 0, Streams(streams>>1)
	c.Rows, c.Columns = uint16(r.Uint()), uint16(r.Uint())
	return c
}

// Failure is why a program or a command did not go through: at which step (from 0), with
// which errno, and on what.
type Failure struct {
	Step  int
	Errno uint32
	Text  string
}

// Encode appends f.
func (f *Failure) Encode(w *Writer) {
	w.Uint(uint64(f.Step))
	w.Uint(uint64(f.Errno))
	w.String(f.Text)
}

// DecodeFailure takes what Encode appended.
func DecodeFailure(r *Reader) Failure {
	return Failure{Step: int(r.Uint()), Errno: uint32(r.Uint()), Text: r.String()}
}
