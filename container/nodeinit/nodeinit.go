package nodeinit

import (
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// EnvKey is set to "node" in the environment of a process that is to be a node init, to
// "spawn" in that of a spawner, to "serve" in that of one that starts a file system's server, to
// "fusermount" in that of the server.
const EnvKey = "_NSNET_INIT"

// ExitPoll is the exit code of a node init that can no longer wait for what happens, as ppoll(2) refuses to: the limit of open files of its process is
// lower than what it has to look at.
const ExitPoll = 70

// Socket is the descriptor of the stream socket to the lab init.
const Socket = 3

func init() {
	v, found := syscall.Getenv(EnvKey)
	if v == "fusermount" {
		giveFuse()
		return
	}
	if !found || !isSocket(Socket) { // the caller of a command may have whatever in its environment
		return
	}
	switch v {
	case "node":
		syscall.Exit(run())
	case "spawn":
		syscall.Exit(spawn())
	case "serve":
		syscall.Exit(serve())
	}
}

// isSocket tells whether a descriptor is one.
func isSocket(fd int) bool {
	var st syscall.Stat_t
	return syscall.Fstat(fd, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFSOCK
}

// state is one node init: its processes by pid, and where to report.
type state struct {
	procs   map[int]*process
	ended   int           // readable when a child has ended
	reaped  chan struct{} // all that had ended were waited for
	forked  chan struct{} // there is a child
	main    int           // pid of the node's command, 0 when none runs
	outputs []*output     // of the node's command, of each run that has not ended
	log     *logFile      // nil before the command's first start
	sharing bool          // the lab init wants to know the command's output
	ending  bool          // the lab init wants to know what is left of the command
	killing bool          // whatever is left gets SIGKILL
	// sessions that exec has opened, as far as processes may be in them
	sessions map[int]bool
	clients  []*process    // those whose clients are listened to, or wait for their end
	betweens map[int]*task // by the pids of the processes between, see launch
	stacks   []uintptr     // for further ones
	root     int           // O_PATH descriptor of the root, for In steps
	users    []byte        // memory to read /etc/passwd into,
	names    []byte        // and /etc/group
	keep     []int         // descriptors for the lab init, which go with the next report
}

// process is one child that was asked for; orphans have none.
type process struct {
	report int // socket that gets Exited
	client bool
	pid    int       // of a client's, 0 before it runs
	deaf   bool      // its client is gone
	output *output   // of the node's command
	start  *starting // of a client's that does not run yet
}

// request is a message that starts something.
type request struct {
	body []byte
	fds  []int
}

// run is a node init in which something runs. It was idle before.
func run() int {
	_ = setCloexec(Socket, true) // no command of the node may speak with the lab init
	_ = syscall.Close(programFD)
	setName() // else the number of a descriptor
	// Nobody in the node may look into its init or write to it, root neither, unless with the capability for that.
	if _, e := prctl(prSetDumpable, 0, 0); e != 0 {
		return 1
	}
	if err := guard(); err != nil {
		return 1
	}
	root, err := syscall.Open("/", oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 1
	}
	signals, e := openSignals()
	if e != 0 {
		return 1
	}
	defaultSignals()
	if err := makeThreads(); err != nil {
		return 1
	}
	var wake [2]int
	if err := syscall.Pipe2(wake[:], syscall.O_CLOEXEC); err != nil {
		return 1
	}
	s := &state{procs: map[int]*process{}, sessions: map[int]bool{}, betweens: map[int]*task{}, root: root, ended: wake[0], reaped: make(chan struct{}), forked: make(chan struct{}, 1)}
	go s.await(wake[1])
	return s.loop(signals)
}

// loop does all that a node init does but for waiting for children, in one goroutine: with one for each
// client its threads, which the node's limit of processes counts, would have no bound. It ends with the lab init, and with this process
// the node.
func (s *state) loop(signals int) int {
	var fds []pollFD
	for {
		fds = append(fds[:0], pollFD{fd: Socket, events: pollIn}, pollFD{fd: int32(signals), events: pollIn}, pollFD{fd: int32(s.ended), events: pollIn})
		s.dropEnded()
		const base = 3
		for _, o := range s.outputs {
			fds = append(fds, pollFD{fd: int32(o.from), events: pollIn})
		}
		first := len(fds)
		for _, p := range s.clients {
			fd := pollFD{fd: int32(p.report), events: pollIn}
			if p.deaf {
				fd.fd = -1 // poll(2) passes it over
			}
			fds = append(fds, fd)
		}
		for _, p := range s.clients {
			if p.start != nil {
				fds = append(fds, pollFD{fd: int32(p.start.report), events: pollIn})
			}
		}
		if e := poll(fds); e != 0 {
			return ExitPoll // to go on would be to look at nothing without a pause
		}
		if fds[1].revents != 0 {
			s.forward(signals)
		}
		for i, o := range s.outputs {
			if fds[base+i].revents != 0 {
				o.pump()
			}
		}
		for i, p := range s.clients {
			if fds[first+i].revents != 0 {
				s.hear(p)
			}
		}
		s.settleStarts()
		if fds[2].revents != 0 {
			s.reap()
		}
		if fds[0].revents != 0 && !s.obey() {
			return 0
		}
	}
}

// obey does what the lab init says. It returns false when that is gone.
func (s *state) obey() bool {
	k, body, fds, more := receive(Socket)
	switch r := (request{body, fds}); k {
	case wire.Post:
		s.carryOut(r.body, r.fds)
	case wire.Start:
		s.startMain(r)
	case wire.Exec:
		s.startExec(r)
	case wire.Kill:
		w := wire.NewReader(r.body)
		s.killCommand(syscall.Signal(w.Uint()), w.Uint() == 1)
	case wire.Share:
		s.sharing = wire.NewReader(r.body).Uint() == 1
	}
	return more
}

// carryOut carries out a program and reports how that went.
func (s *state) carryOut(body []byte, fds []int) {
	if f := s.program(body, fds); f != nil {
		send(Socket, wire.Failed, encodeFailure(f))
		return
	}
	if e := pass(Socket, wire.Ready, nil, s.keep); e == syscall.ETOOMANYREFS {
		send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(e), Text: "pass descriptors on"}))
	}
	for _, fd := range s.keep {
		_ = syscall.Close(fd)
	}
	s.keep = nil
}

func encodeFailure(f *wire.Failure) []byte {
	var w wire.Writer
	f.Encode(&w)
	return w.Bytes()
}

// await makes wake readable whenever a child has ended, and leaves it to the loop. No signal can
// do that: the runtime unblocks SIGCHLD in all its threads. waitid(2).
func (s *state) await(wake int) {
	const all, exited, leave = 0, 4, 0x01000000 // P_ALL, WEXITED, WNOWAIT
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, all, 0, 0, exited|leave, 0, 0)
		switch e {
		case 0:
			_, _ = syscall.Write(wake, []byte{0})
			<-s.reaped
		case syscall.ECHILD:
			<-s.forked
		}
	}
}

// reap waits for the children that have ended, its own and those it inherits.
func (s *state) reap() {
	var b [1]byte
	_, _ = syscall.Read(s.ended, b[:])
	defer func() { s.reaped <- struct{}{} }()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		if s.procs[pid] == nil {
			s.settleStarts() // this may be a command of which that has not been read yet
		}
		p := s.procs[pid]
		delete(s.procs, pid)
		s.dropBetween(pid)
		if pid == s.main {
			s.main = 0
		}
		if p == nil {
			continue
		}
		var w wire.Writer
		w.Uint(uint64(ws))
		if p.output != nil {
			p.output.drain() // who learns of the end finds all of the log
		}
		send(p.report, wire.Exited, w.Bytes())
		if p.client {
			s.forget(p)
			s.forgetSession(pid)
		}
	}
	if s.ending {
		s.tellLeft()
	}
}

// forget lets a client go whose command has ended.
func (s *state) forget(p *process) {
	_ = syscall.Shutdown(p.report, syscall.SHUT_RDWR) // the lab init may have it, too
	_ = syscall.Close(p.report)
	for i, other := range s.clients {
		if other == p {
			last := len(s.clients) - 1
			s.clients[i], s.clients[last] = s.clients[last], nil
			s.clients = s.clients[:last]
			return
		}
	}
}

// forward passes signals that reach PID 1 on to the node's command.
func (s *state) forward(fd int) {
	var b [128]byte // struct signalfd_siginfo
	n, err := syscall.Read(fd, b[:])
	if err != nil || n < len(b) {
		return
	}
	if sig := syscall.Signal(b[0]); s.main != 0 { // ssi_signo, all below 128
		_ = syscall.Kill(s.main, sig)
	}
}
