package nodeinit

import (
	"syscall"
	"unsafe"

	"github.com/nsnet/nsnet/container/passwd"
	"github.com/nsnet/nsnet/container/wire"
)

// startMain starts the node's command with its output going to the log. The log comes with the first start, and serves
// every further one.
func (s *state) startMain(r request) {
	cmd := wire.DecodeCommand(wire.NewReader(r.body))
	refuse := func(e syscall.Errno, text string) {
		send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(e), Text: text}), nil)
	}
	if len(r.fds) == 2 && s.log == nil {
		s.log = &logFile{fd: r.fds[0], old: r.fds[1]}
	} else {
		closeAll(r.fds)
	}
	if s.log == nil {
		refuse(syscall.EBADF, "log")
		return
	}
	if s.main != 0 {
		refuse(syscall.EBUSY, "the command")
		return
	}
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		refuse(err.(syscall.Errno), "pipe")
		return
	}
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		null = p[1]
	}
	out := newOutput(p[0], s.log)
	out.share = s.share
	s.outputs = append(s.outputs, out)
	s.spawn(&cmd, []int{null, p[1], p[1]}, &process{report: Socket, output: out}, true)
	_ = syscall.Close(p[1])
	if null != p[1] {
		_ = syscall.Close(null)
	}
}

// startExec starts a command for a client: descriptors are its socket, stdin, stdout, stderr.
func (s *state) startExec(r request) {
	if len(r.fds) < 1 {
		return
	}
	client := r.fds[0]
	cmd := wire.DecodeCommand(wire.NewReader(r.body))
	p := &process{report: client, client: true}
	var stdio []int
	switch {
	case cmd.TTY:
		stdio = nil
	case len(r.fds) == 4:
		stdio = r.fds[1:4]
	default:
		send(client, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(syscall.EBADF), Text: "stdio"}), nil)
		closeAll(r.fds)
		return
	}
	pid := s.spawn(&cmd, stdio, p, false)
	closeAll(r.fds[1:])
	if pid == 0 {
		_ = syscall.Close(client)
		return
	}
	p.pid = pid
	s.clients = append(s.clients, p)
}

// hear passes a client's signal on to its command. A client that goes away takes its command along,
// as it would with ssh or ip netns exec.
func (s *state) hear(p *process) {
	k, body, fds, more := receive(p.report)
	closeAll(fds)
	switch {
	case !more:
		p.deaf = true
		s.kill(p, syscall.SIGKILL, true)
	case k == wire.Signal:
		s.kill(p, syscall.Signal(wire.NewReader(body).Uint()), false)
	}
}

// kill signals a client's process that has not been reaped yet, so that its pid is its own.
func (s *state) kill(p *process, sig syscall.Signal, group bool) {
	if s.procs[p.pid] != p {
		return
	}
	if group {
		_ = syscall.Kill(-p.pid, sig)
	}
	_ = syscall.Kill(p.pid, sig)
}

// spawn forks a command, with stdio or on a new terminal, and reports Started or Failed.
// It returns the pid, 0 on failure.
func (s *state) spawn(cmd *wire.Command, stdio []int, p *process, main bool) int {
	refuse := func(f failure) int {
		send(p.report, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}), nil)
		return 0
	}
	if len(cmd.Argv) == 0 {
		return refuse(fail(syscall.EINVAL, "empty command"))
	}
	users, groups := slurp("/etc/passwd"), slurp("/etc/group")
	uid, gid, extra, home, err := passwd.Lookup(cmd.User, users, groups)
	if err != nil {
		return refuse(fail(syscall.EINVAL, err.Error()))
	}
	if f := unmapped(cmd.User, uid, gid, extra); f != ok {
		return refuse(f)
	}
	env := cmd.Env
	if get(env, "HOME") == "" {
		env = append(env, "HOME="+home)
	}
	dir := cmd.Workdir
	if dir == "" {
		dir = "/"
	}
	if f := directory(dir); f != ok {
		return refuse(f)
	}
	path, f := s.find(cmd.Argv[0], env, dir)
	if f != ok {
		return refuse(f)
	}
	attr := &syscall.ProcAttr{Dir: dir, Env: env, Sys: &syscall.SysProcAttr{
		Setsid:     true,
		Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: extra},
	}}
	master := -1
	if stdio == nil {
		var slave int
		var e syscall.Errno
		if master, slave, e = openTerminal(uid, gid, cmd.Rows, cmd.Columns); e != 0 {
			return refuse(fail(e, "open a terminal"))
		}
		defer syscall.Close(master)
		defer syscall.Close(slave)
		stdio = []int{slave, slave, slave}
		attr.Sys.Setctty = true
	}
	for _, fd := range stdio {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	// As root, and not as the command's user, to whom the directory may be closed. Where root may not enter it, that one perhaps may.
	if syscall.Chdir(dir) == nil {
		attr.Dir = ""
		defer func() { _ = syscall.Chdir("/") }()
	}
	s.expendable(true)
	sigmask(sigUnblock)
	pid, err := syscall.ForkExec(path, cmd.Argv, attr)
	sigmask(sigBlock)
	s.expendable(false)
	if err != nil {
		return refuse(unstarted(err, cmd.Argv, env, path, dir))
	}
	select {
	case s.forked <- struct{}{}:
	default:
	}
	s.procs[pid] = p
	if main {
		s.main = pid
	} else {
		s.sessions[pid] = true
	}
	var w wire.Writer
	w.Uint(uint64(pid))
	var fds []int
	if master >= 0 {
		fds = []int{master}
	}
	send(p.report, wire.Started, w.Bytes(), fds)
	return pid
}

// check finds out whether a command could start, while there is time to say so.
func (s *state) check(name, path, dir, user string) failure {
	uid, gid, extra, _, err := passwd.Lookup(user, slurp("/etc/passwd"), slurp("/etc/group"))
	if err != nil {
		return fail(syscall.EINVAL, err.Error())
	}
	if f := unmapped(user, uid, gid, extra); f != ok {
		return f
	}
	if dir == "" {
		dir = "/"
	}
	if f := directory(dir); f != ok {
		return f
	}
	at, f := s.find(name, []string{"PATH=" + path}, dir)
	if f == ok {
		f = unfit(at, dir)
	}
	return f
}

// unstarted is why a program that was found could not be started.
func unstarted(err error, argv, env []string, path, dir string) failure {
	if err == syscall.E2BIG {
		if text := TooLong(argv, env); text != "" {
			return fail(tooLong, text)
		}
		return fail(tooLong, "arguments and environment are too long")
	}
	if f := unfit(path, dir); f != ok {
		return f
	}
	return failErr(err, argv[0])
}

// directory tells whether there is one to start a command in. It never says ENOENT, which
// is for a command that is not there.
func directory(path string) failure {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return fail(syscall.ENOTDIR, "in "+path)
	}
	return ok
}

// find looks a program up as execvp(3) does. ENOENT: no such program; EACCES: one that
// cannot be executed.
func (s *state) find(name string, env []string, dir string) (string, failure) {
	if hasSlash(name) {
		at := name
		if name[0] != '/' {
			at = dir + "/" + name
		}
		if e := executable(at); e != 0 {
			return "", fail(e, name)
		}
		return name, ok
	}
	best := syscall.ENOENT
	path := get(env, "PATH")
	for len(path) > 0 {
		end := 0
		for end < len(path) && path[end] != ':' {
			end++
		}
		if end > 0 {
			at := path[:end] + "/" + name
			e := executable(at)
			if e == 0 {
				return at, ok
			}
			if e == syscall.EACCES {
				best = e
			}
		}
		if end == len(path) {
			break
		}
		path = path[end+1:]
	}
	return "", fail(best, name)
}

func executable(path string) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		if err == syscall.ENOTDIR {
			return syscall.ENOENT
		}
		return err.(syscall.Errno)
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG || st.Mode&0o111 == 0 {
		return syscall.EACCES
	}
	return 0
}

func hasSlash(s string) bool {
	for i := range len(s) {
		if s[i] == '/' {
			return true
		}
	}
	return false
}

// get is the value of a variable, the last one set.
func get(env []string, key string) string {
	v := ""
	for _, e := range env {
		if len(e) > len(key) && e[len(key)] == '=' && e[:len(key)] == key {
			v = e[len(key)+1:]
		}
	}
	return v
}

// slurp reads a small file, nothing where there is none.
func slurp(path string) []byte {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	var out []byte
	b := make([]byte, 4096)
	for len(out) < 4<<20 {
		n, err := syscall.Read(fd, b)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		out = append(out, b[:n]...)
	}
	return out
}

// openTerminal makes a pseudo-terminal of the node's own devpts. The slave is opened
// through the master (TIOCGPTPEER, Linux 4.13), never by a path that the node controls.
func openTerminal(uid, gid uint32, rows, columns uint16) (master, slave int, e syscall.Errno) {
	master, err := syscall.Open("/dev/pts/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err.(syscall.Errno)
	}
	var unlock int32
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(master), tiocsptlck, uintptr(unsafe.Pointer(&unlock))); e != 0 {
		_ = syscall.Close(master)
		return -1, -1, e
	}
	fd, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(master), tiocgptpeer, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC)
	if e != 0 {
		_ = syscall.Close(master)
		return -1, -1, e
	}
	_ = syscall.Fchown(int(fd), int(uid), int(gid))
	size := [4]uint16{rows, columns}                                                                        // struct winsize: before the command can ask for it
	syscall.Syscall(syscall.SYS_IOCTL, uintptr(master), syscall.TIOCSWINSZ, uintptr(unsafe.Pointer(&size))) //nolint:errcheck // a terminal takes any
	return master, int(fd), 0
}

func closeAll(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = syscall.Close(fd)
		}
	}
}

// expendable has what is forked from now on be the first to go when memory is short, rather than its init, which is as
// big as a small command and with which the node would end. Who may not lower a score may still take it back to
// where it was: __set_oom_adj in fs/proc/base.c.
func (s *state) expendable(yes bool) {
	if s.score <= 0 {
		return
	}
	score := "0"
	if yes {
		score = "900" // of 1000, which is all of the memory there is, or of the limit
	}
	_, _ = syscall.Write(s.score, []byte(score))
}
