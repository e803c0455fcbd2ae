package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/wire"
)

// starting is a command of exec between its fork and the word of what came of it. The init does not wait for that: a program of a file system
// that hangs must not keep it from its node.
type starting struct {
	command prepared
	report  int              // a pipe's end, without blocking; see outcome
	becomes int              // pid of the process between that is to be the command
	ends    []int            // the client's ends of the command's streams
	signals []syscall.Signal // for the command, once it runs
}

// startExec starts a command for a client: descriptors are its socket, then those that the streams ask for.
func (s *state) startExec(r request) {
	if len(r.fds) < 1 {
		return
	}
	client := r.fds[0]
	cmd := wire.DecodeCommand(wire.NewReader(r.body))
	if cmd.Streams&wire.Look != 0 {
		s.answerLook(&cmd, client)
		closeAll(r.fds)
		return
	}
	if f := s.fork(&cmd, client, r.fds[1:]); f != ok {
		send(client, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}))
		_ = syscall.Shutdown(client, syscall.SHUT_RDWR) // the lab init may have it, too
		_ = syscall.Close(client)
	}
	closeAll(r.fds[1:])
}

// answerLook tells a client whether a command could start.
func (s *state) answerLook(cmd *wire.Command, client int) {
	if f := s.look(cmd); f != ok {
		send(client, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}))
	} else {
		send(client, wire.Ready, nil)
	}
	_ = syscall.Shutdown(client, syscall.SHUT_RDWR) // the lab init may have it, too
}

// fork forks a command for a client, whose socket is taken over unless that fails.
func (s *state) fork(cmd *wire.Command, client int, given []int) failure {
	c, f := s.prepare(cmd)
	if f != ok {
		return f
	}
	st, f := openStreams(cmd, c.uid, c.gid, given)
	defer func() { closeAll(st.own) }()
	if f != ok {
		closeAll(st.ends)
		return f
	}
	var report [2]int
	if err := syscall.Pipe2(report[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		closeAll(st.ends)
		return failErr(err, "pipe")
	}
	st.own = append(st.own, report[1])
	l, own, err := newLaunch(c, st.stdio[:])
	if err != nil {
		closeAll(append(st.ends, report[0]))
		return failErr(err, c.argv[0])
	}
	st.own = append(st.own, own...)
	l.report = uintptr(report[1])
	stack, e := s.stack()
	between := 0
	if e == 0 {
		if between, e = l.startBelow(stack); e != 0 {
			s.stacks = append(s.stacks, stack)
		}
	}
	if e != 0 {
		closeAll(append(st.ends, report[0]))
		return fail(e, c.argv[0])
	}
	s.awaken()
	p := &process{report: client, client: true, start: &starting{command: c, report: report[0], ends: st.ends}}
	s.betweens[between] = &task{launch: l, stack: stack}
	s.clients = append(s.clients, p)
	return ok
}

// task is a process between.
type task struct {
	launch *launch // which it reads, and nobody else knows of
	stack  uintptr
}

// stack is memory for the stack of a process between.
func (s *state) stack() (uintptr, syscall.Errno) {
	if n := len(s.stacks); n > 0 {
		at := s.stacks[n-1]
		s.stacks = s.stacks[:n-1]
		return at, 0
	}
	nowhere := -1
	at, _, e := syscall.Syscall6(syscall.SYS_MMAP, 0, stackSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON, uintptr(nowhere), 0)
	return at, e
}

// dropBetween forgets a process between that has ended.
func (s *state) dropBetween(pid int) {
	const kept = 4
	t := s.betweens[pid]
	if t == nil {
		return
	}
	delete(s.betweens, pid)
	if len(s.stacks) < kept {
		s.stacks = append(s.stacks, t.stack)
		return
	}
	_, _, _ = syscall.Syscall(syscall.SYS_MUNMAP, t.stack, stackSize, 0)
}

// streams are a command's standard streams.
type streams struct {
	stdio [3]int
	own   []int // of stdio those that are closed once the command has them
	ends  []int // the client's
}

// openStreams makes the pipes or the terminal that a command asks for. They are the command's user's, so that /dev/stdout and the like can be
// opened; the client's own descriptors would be of users that the node does not know, and would be the node's for as long as anything
// that the command leaves behind holds them.
func openStreams(cmd *wire.Command, uid, gid uint32, given []int) (streams, failure) {
	var st streams
	pipe := func(theirs int) (int, error) {
		p, err := ownPipe(uid, gid)
		if err != nil {
			return -1, err
		}
		st.own, st.ends = append(st.own, p[theirs]), append(st.ends, p[1-theirs])
		return p[theirs], nil
	}
	switch {
	case cmd.TTY:
		master, slave, e := openTerminal(uid, gid, cmd.Rows, cmd.Columns)
		if e != 0 {
			return st, fail(e, "open a terminal")
		}
		return streams{stdio: [3]int{slave, slave, slave}, own: []int{slave}, ends: []int{master}}, ok
	case cmd.Streams == 0 && len(given) == 3:
		return streams{stdio: [3]int(given)}, ok
	case cmd.Streams&wire.OutputPipes == 0, cmd.Streams&wire.InputPipe == 0 && len(given) != 1:
		return st, fail(syscall.EBADF, "stdio")
	}
	var err error
	if cmd.Streams&wire.InputPipe == 0 {
		st.stdio[0] = given[0]
	} else {
		st.stdio[0], err = pipe(0)
	}
	if err == nil {
		st.stdio[1], err = pipe(1)
	}
	if st.stdio[2] = st.stdio[1]; err == nil && cmd.Streams&wire.OneOutput == 0 {
		st.stdio[2], err = pipe(1)
	}
	return st, failErr(err, "pipe")
}

// ownPipe makes a pipe that a user may open again, by /dev/stdout and the like. A node without the capability for that
// does without.
func ownPipe(uid, gid uint32) (p [2]int, err error) {
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return p, err
	}
	if uid != 0 || gid != 0 {
		_ = syscall.Fchown(p[0], int(uid), int(gid)) // of both ends, which are one file
	}
	return p, nil
}

// settleStarts takes the word on commands that were forked, as far as it has come.
func (s *state) settleStarts() {
	for i := len(s.clients) - 1; i >= 0; i-- { // from the end: the last takes the place of one that is dropped
		if p := s.clients[i]; p.start != nil {
			s.settleStart(p)
		}
	}
}

func (s *state) settleStart(p *process) {
	for {
		var o outcome
		n, err := syscall.Read(p.start.report, (*[unsafe.Sizeof(o)]byte)(unsafe.Pointer(&o))[:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return
		case n == int(unsafe.Sizeof(o)) && o.stage == stageBecomes:
			p.start.becomes = int(o.pid)
		case n == int(unsafe.Sizeof(o)) && o.errno == 0:
			s.started(p, int(o.pid))
			return
		case n == int(unsafe.Sizeof(o)):
			s.notStarted(p, p.start.command.failed(syscall.Errno(o.errno), o.stage == stageDir))
			return
		case p.start.becomes != 0:
			s.started(p, p.start.becomes)
			return
		default: // the process between was killed
			s.notStarted(p, fail(syscall.ECANCELED, p.start.command.argv[0]))
			return
		}
	}
}

// started tells the client of its command.
func (s *state) started(p *process, pid int) {
	start := p.start
	p.start, p.pid = nil, pid
	_ = syscall.Close(start.report)
	s.procs[pid] = p
	s.sessions[pid] = true
	if t := s.betweens[pid]; t != nil { // it has become the command, in memory of its own
		s.dropBetween(pid)
		yielding(pid)
	}
	var w wire.Writer
	w.Uint(uint64(pid))
	e := pass(p.report, wire.Started, w.Bytes(), start.ends)
	closeAll(start.ends)
	if e == syscall.ETOOMANYREFS { // else the command would run with streams that lead nowhere, and nobody would know
		start.signals = []syscall.Signal{syscall.SIGKILL}
		send(p.report, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(e), Text: start.command.argv[0]}))
		_ = syscall.Shutdown(p.report, syscall.SHUT_RDWR)
	}
	for _, sig := range start.signals {
		s.kill(p, sig)
	}
}

// notStarted tells the client why there is no command.
func (s *state) notStarted(p *process, f failure) {
	_ = syscall.Close(p.start.report)
	closeAll(p.start.ends)
	p.start = nil
	send(p.report, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}))
	s.forget(p)
}

// hear passes a client's signal on to its command, and all of its process group, as a terminal does. A client that goes away takes its command along,
// as it would with ssh or ip netns exec.
func (s *state) hear(p *process) {
	k, body, fds, more := receive(p.report)
	closeAll(fds)
	switch {
	case !more:
		p.deaf = true
		s.kill(p, syscall.SIGKILL)
	case k == wire.Signal:
		s.kill(p, syscall.Signal(wire.NewReader(body).Uint()))
		send(p.report, wire.Heard, nil)
	}
}

// kill signals the process group of a client's command that has not been reaped yet, so that its number is its own: it leads a session
// and cannot leave its group. One that does not run yet gets the signal as soon as it does.
func (s *state) kill(p *process, sig syscall.Signal) {
	if p.start != nil {
		p.start.signals = append(p.start.signals, sig)
	}
	if p.pid != 0 && s.procs[p.pid] == p {
		_ = syscall.Kill(-p.pid, sig)
	}
}
