package worker

import (
	"syscall"
	"unsafe"
)

// EnvKey is set in the environment of a process that is to be a worker, to the numbers of two
// descriptors: the file with the list of acts, and the pipe for the report.
const EnvKey = "_NSNET_ATTACH"

func init() {
	v, found := syscall.Getenv(EnvKey)
	if !found {
		return
	}
	// The caller of a command may have whatever in its environment.
	if plan, report, ok := parse(v); ok && plan > 2 && isPipe(report) {
		syscall.Exit(run(plan, report))
	}
}

// isPipe looks at a descriptor: a caller may have put any number into the environment. fstat(2).
func isPipe(fd int) bool {
	var st syscall.Stat_t
	return syscall.Fstat(fd, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFIFO
}

// run is a worker. It is on the main thread, which Go locks during initialisation, so that
// it may change its network namespace.
func run(plan, report int) int {
	b, errno := readAll(plan)
	acts, ok := decode(b)
	if errno != 0 || !ok {
		return 2
	}
	w := &worker{sockets: map[int]int{}}
	o := w.all(acts)
	out := o.encode()
	_, _ = syscall.Write(report, out) // nobody may be there any more
	if o.Errno != 0 {
		return 1
	}
	return 0
}

// worker has one socket for each namespace.
type worker struct {
	sockets map[int]int
	seq     uint32
}

// all does every act, or takes back what it has done.
func (w *worker) all(acts []Act) Outcome {
	for i := range acts {
		o := w.step(&acts[i].Do)
		if o.Errno == 0 {
			continue
		}
		o.Act, o.Undone = i, true
		for ; i >= 0; i-- {
			for j := range acts[i].Undo {
				if u := w.step(&acts[i].Undo[j]); u.Errno != 0 && !gone(u.Errno) {
					o.Undone = false
				}
			}
		}
		return o
	}
	return Outcome{}
}

// gone tells the errors that mean there is nothing to take back, or that it is so already.
func gone(errno uint64) bool {
	switch syscall.Errno(errno) {
	case syscall.ENODEV, syscall.ENOENT, syscall.ESRCH, syscall.EEXIST:
		return true
	}
	return false
}

func (w *worker) step(s *Step) Outcome {
	switch s.Kind {
	case Netlink:
		return w.netlink(s.FD, s.Data)
	case Sysctl:
		return failed(w.sysctl(s))
	case Write:
		return failed(write(s.FD, s.Data))
	case Create:
		return failed(create(s.FD, s.Path, s.Data))
	case Remove:
		return failed(remove(s.FD, s.Path, s.Data))
	case Rename:
		return failed(rename(s.FD, s.Path, string(s.Data)))
	}
	return unknown(s)
}

func failed(e syscall.Errno) Outcome { return Outcome{Errno: uint64(e)} }

// enter moves this thread into the network namespace of a descriptor. setns(2).
func enter(netns int) syscall.Errno {
	_, _, e := syscall.RawSyscall(sysSetns, uintptr(netns), syscall.CLONE_NEWNET, 0)
	return e
}

func (w *worker) sysctl(s *Step) syscall.Errno {
	if e := enter(s.FD); e != 0 {
		return e
	}
	fd, err := syscall.Open(s.Path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		if err == syscall.ENOENT {
			return 0
		}
		return err.(syscall.Errno)
	}
	defer syscall.Close(fd)
	_, err = syscall.Write(fd, s.Data)
	return errnoOf(err)
}

// write replaces a file's content in place: in a container it is a bind mount, which cannot be
// renamed over.
func write(fd int, content []byte) syscall.Errno {
	for off := 0; off < len(content); {
		n, err := syscall.Pwrite(fd, content[off:], int64(off))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return errnoOf(err)
		}
		off += n
	}
	return errnoOf(syscall.Ftruncate(fd, int64(len(content))))
}

func rename(dir int, from, to string) syscall.Errno {
	return errnoOf(syscall.Renameat(dir, from, dir, to))
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}

// netlink sends requests and takes the answers to all of them.
func (w *worker) netlink(netns int, requests []byte) Outcome {
	fd, e := w.socket(netns)
	if e != 0 {
		return failed(e)
	}
	base, left := w.seq+1, 0
	for rest := requests; len(rest) >= syscall.NLMSG_HDRLEN; left++ {
		h := (*syscall.NlMsghdr)(unsafe.Pointer(unsafe.SliceData(rest)))
		w.seq++
		h.Seq = w.seq
		h.Flags |= syscall.NLM_F_ACK
		rest = rest[min(align(int(h.Len)), len(rest)):]
	}
	if err := syscall.Sendto(fd, requests, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return failed(errnoOf(err))
	}
	var first Outcome
	buf := make([]byte, 32<<10)
	for left > 0 {
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return failed(errnoOf(err))
		}
		for b := buf[:n]; len(b) >= syscall.NLMSG_HDRLEN; {
			h := (*syscall.NlMsghdr)(unsafe.Pointer(unsafe.SliceData(b)))
			if int(h.Len) < syscall.NLMSG_HDRLEN || int(h.Len) > len(b) {
				return failed(syscall.EBADMSG)
			}
			body := b[syscall.NLMSG_HDRLEN:h.Len]
			if h.Type == syscall.NLMSG_ERROR && h.Seq >= base && len(body) >= 4 {
				left--
				if errno := -*(*int32)(unsafe.Pointer(unsafe.SliceData(body))); errno != 0 && first.Errno == 0 {
					first = Outcome{Request: int(h.Seq - base), Errno: uint64(errno), Detail: detail(h, body)}
				}
			}
			b = b[min(align(int(h.Len)), len(b)):]
		}
	}
	return first
}

func align(n int) int { return (n + syscall.NLMSG_ALIGNTO - 1) &^ (syscall.NLMSG_ALIGNTO - 1) }

// detail finds the kernel's own words behind a refusal. NETLINK_EXT_ACK; with NETLINK_CAP_ACK
// only the header of the refused request stands before them.
func detail(h *syscall.NlMsghdr, body []byte) string {
	const fixed, hasText, text = 4 + syscall.NLMSG_HDRLEN, 0x200, 1 // NLM_F_ACK_TLVS, NLMSGERR_ATTR_MSG
	if h.Flags&hasText == 0 || len(body) < fixed {
		return ""
	}
	for rest := body[fixed:]; len(rest) >= 4; {
		size := int(*(*uint16)(unsafe.Pointer(&rest[0])))
		kind := *(*uint16)(unsafe.Pointer(&rest[2]))
		if size < 4 || size > len(rest) {
			return ""
		}
		if kind == text && size > 5 {
			return string(rest[4 : size-1])
		}
		rest = rest[min(align(size), len(rest)):]
	}
	return ""
}

// socket is this worker's socket in a namespace. netlink(7).
func (w *worker) socket(netns int) (int, syscall.Errno) {
	if fd, ok := w.sockets[netns]; ok {
		return fd, 0
	}
	if e := enter(netns); e != 0 {
		return -1, e
	}
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK})
	}
	if err != nil {
		return -1, errnoOf(err)
	}
	// An answer comes within the call that asks for it. Should one be lost, better an error than to wait for ever.
	patience := syscall.Timeval{Sec: 10}
	_ = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience)
	const solNetlink, capAck, extAck = 270, 10, 11
	for _, option := range []int{capAck, extAck} {
		_ = syscall.SetsockoptInt(fd, solNetlink, option, 1)
	}
	w.sockets[netns] = fd
	return fd, 0
}

// parse reads "PLAN,REPORT".
func parse(s string) (plan, report int, ok bool) {
	n := []int{0, 0}
	at, digits := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == ',' && at == 0 && digits > 0:
			at, digits = 1, 0
		case c >= '0' && c <= '9' && digits < 9:
			n[at] = 10*n[at] + int(c-'0')
			digits++
		default:
			return 0, 0, false
		}
	}
	return n[0], n[1], at == 1 && digits > 0
}

func readAll(fd int) ([]byte, syscall.Errno) {
	var out []byte
	b := make([]byte, 16<<10)
	for {
		n, err := syscall.Pread(fd, b, int64(len(out)))
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return out, errnoOf(err)
		}
		out = append(out, b[:n]...)
	}
}
