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
	refuse := func(f failure) {
		send(Socket, wire.Failed, encodeFailure(&wire.Failure{Errno: uint32(f.errno), Text: f.text}))
	}
	if len(r.fds) == 2 && s.log == nil {
		s.log = &logFile{fd: r.fds[0], old: r.fds[1]}
	} else {
		closeAll(r.fds)
	}
	if s.log == nil {
		refuse(fail(syscall.EBADF, "log"))
		return
	}
	if s.main != 0 {
		refuse(fail(syscall.EBUSY, "the command"))
		return
	}
	c, f := s.prepare(&cmd)
	if f != ok {
		refuse(f)
		return
	}
	p, err := ownPipe(c.uid, c.gid)
	if err != nil {
		refuse(failErr(err, "pipe"))
		return
	}
	defer syscall.Close(p[1])
	out := newOutput(p[0], s.log)
	out.share = s.share
	s.outputs = append(s.outputs, out)
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		null = p[1]
	} else {
		defer syscall.Close(null)
	}
	l, own, err := newLaunch(c, []int{null, p[1], p[1]})
	if err != nil {
		refuse(failErr(err, cmd.Argv[0]))
		return
	}
	defer closeAll(own)
	pid, e := l.start()
	if pid != 0 {
		s.awaken() // also one that could not become the command is waited for
	}
	if e != 0 {
		refuse(c.failed(e, l.chdirFailed))
		return
	}
	s.procs[pid] = &process{report: Socket, output: out}
	s.main = pid
	var w wire.Writer
	w.Uint(uint64(pid))
	send(Socket, wire.Started, w.Bytes())
}

// awaken has await look for children.
func (s *state) awaken() {
	select {
	case s.forked <- struct{}{}:
	default:
	}
}

// prepared is a command that has been found, and whose it is.
type prepared struct {
	path, dir string
	argv, env []string
	uid, gid  uint32
	groups    []uint32
	terminal  bool
}

// prepare finds a command, its user, and what else it starts with.
func (s *state) prepare(cmd *wire.Command) (prepared, failure) {
	c := prepared{argv: cmd.Argv, env: cmd.Env, dir: cmd.Workdir, terminal: cmd.TTY}
	if len(cmd.Argv) == 0 {
		return c, fail(syscall.EINVAL, "empty command")
	}
	var home string
	var err error
	c.uid, c.gid, c.groups, home, err = passwd.Lookup(cmd.User, slurpInto(&s.users, "/etc/passwd"), slurpInto(&s.names, "/etc/group"))
	if err != nil {
		return c, fail(syscall.EINVAL, err.Error())
	}
	if f := unmapped(cmd.User, c.uid, c.gid, c.groups); f != ok {
		return c, f
	}
	if get(c.env, "HOME") == "" {
		c.env = append(c.env, "HOME="+home)
	}
	if c.dir == "" {
		c.dir = "/"
	}
	f := directory(c.dir)
	switch {
	case f != ok:
	case cmd.Streams&wire.Itself != 0:
		c.path = "/proc/self/exe"
	default:
		c.path, f = s.find(c.argv[0], c.env, c.dir)
	}
	return c, f
}

// failed is why a command that was found could not be started.
func (c *prepared) failed(e syscall.Errno, inDir bool) failure {
	if inDir {
		if e == syscall.ENOENT {
			e = noDirectory
		}
		return fail(e, "in "+c.dir)
	}
	return unstarted(e, c.argv, c.env, c.path, c.dir)
}

// check finds out whether a command could start, while there is time to say so.
func (s *state) check(name, path, dir, user string) failure {
	return s.look(&wire.Command{Argv: []string{name}, Env: []string{"PATH=" + path}, Workdir: dir, User: user})
}

// look finds out whether a command could start, as far as that can be told without starting it.
func (s *state) look(cmd *wire.Command) failure {
	c, f := s.prepare(cmd)
	if f != ok {
		return f
	}
	return unfit(c.path, c.dir)
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

// noDirectory says that there is no directory to start a command in: ENOENT is for a command that is not there.
const noDirectory = syscall.ENXIO

// directory returns why no command can be started in path, or ok.
func directory(path string) failure {
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	if err == syscall.ENOENT {
		return fail(noDirectory, "in "+path)
	}
	if err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
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
	var b []byte
	return slurpInto(&b, path)
}

// slurpInto is slurp with memory that is used again and again: an init that grew with each command would be what the kernel kills where its
// node's memory is full.
func slurpInto(all *[]byte, path string) []byte {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	b := (*all)[:cap(*all)]
	if len(b) == 0 {
		b = make([]byte, 4096)
	}
	got := 0
	for got < 4<<20 {
		if got == len(b) {
			b = append(b, make([]byte, len(b))...)
		}
		n, err := syscall.Read(fd, b[got:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		got += n
	}
	*all = b
	return b[:got]
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
