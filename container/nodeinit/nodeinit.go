package nodeinit

import (
	"sync"
	"syscall"

	"github.com/nsnet/nsnet/container/wire"
)

// EnvKey is set to "node" in the environment of a process that is to be a node init, to
// "spawn" in that of a spawner.
const EnvKey = "_NSNET_INIT"

// Socket is the descriptor of the stream socket to the lab init.
const Socket = 3

func init() {
	switch v, _ := syscall.Getenv(EnvKey); v {
	case "node":
		syscall.Exit(run())
	case "spawn":
		syscall.Exit(spawn())
	}
}

// state is one node init: its processes by pid, and where to report.
type state struct {
	mu       sync.Mutex // held over every fork, so that the reaper knows each child
	procs    map[int]*process
	main     int           // pid of the node's command, 0 when none runs
	children chan struct{} // a child was forked
	reaping  bool          // the reaper runs
	root     int           // O_PATH descriptor of the root, for In steps
}

// process is one child that was asked for; orphans have none.
type process struct {
	report int // socket that gets Exited
	client bool
	done   chan struct{}
	output *output // of the node's command
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
	root, err := syscall.Open("/", oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 1
	}
	s := &state{procs: map[int]*process{}, children: make(chan struct{}, 1), root: root}
	for {
		k, body, fds, more := receive(Socket)
		if !more {
			return 0 // the lab init is gone; so is, with this process, the node
		}
		switch r := (request{body, fds}); k {
		case wire.Post:
			s.carryOut(r.body, r.fds)
		case wire.Start:
			s.startMain(r)
		case wire.Exec:
			s.startExec(r)
		}
	}
}

// carryOut carries out a program and reports how that went.
func (s *state) carryOut(body []byte, fds []int) {
	if f := s.program(body, fds); f != nil {
		send(Socket, wire.Failed, encodeFailure(f), nil)
		return
	}
	send(Socket, wire.Ready, nil, nil)
}

func encodeFailure(f *wire.Failure) []byte {
	var w wire.Writer
	f.Encode(&w)
	return w.Bytes()
}

// reap waits for every child, its own and those it inherits.
func (s *state) reap() {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		if err == syscall.ECHILD {
			<-s.children
			continue
		}
		if err != nil || pid <= 0 {
			continue
		}
		s.mu.Lock()
		p := s.procs[pid]
		delete(s.procs, pid)
		if pid == s.main {
			s.main = 0
		}
		s.mu.Unlock()
		if p == nil {
			continue
		}
		var w wire.Writer
		w.Uint(uint64(ws))
		if p.output != nil {
			p.output.drain() // who learns of the end finds all of the log
		}
		send(p.report, wire.Exited, w.Bytes(), nil)
		if p.client {
			_ = syscall.Shutdown(p.report, syscall.SHUT_RDWR)
			close(p.done)
		}
	}
}

// forward passes signals that reach PID 1 on to the node's command.
func (s *state) forward(fd int) {
	var b [128]byte // struct signalfd_siginfo
	for {
		n, err := syscall.Read(fd, b[:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n < len(b) {
			return
		}
		sig := syscall.Signal(b[0]) // ssi_signo, all below 128
		s.mu.Lock()
		if s.main != 0 {
			_ = syscall.Kill(s.main, sig)
		}
		s.mu.Unlock()
	}
}
