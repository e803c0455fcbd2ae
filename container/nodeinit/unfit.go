package nodeinit

import "syscall"

// What a failure's text says in full, without the errno's own words: see container.Reason.
const (
	noInterpreter = syscall.ELIBACC // a program is there, and what the kernel needs to run it is not
	tooLong       = syscall.E2BIG   // arguments and environment
	outsideIDs    = syscall.ERANGE  // a user or group id that the node has not
)

// unfit tells why the kernel will not execute a program that is there: for want of its interpreter, which execve(2) reports as if the
// program were missing, as it does for one with Windows line ends. Whatever cannot be said for sure is left to execve(2): what the
// first bytes mean can be anybody's choice (binfmt_misc).
func unfit(path, dir string) failure { return unfitBelow(path, dir, 0) }

func unfitBelow(path, dir string, depth int) failure {
	const deepest = 5 // exec_binprm in fs/exec.c
	if depth > deepest {
		return fail(noInterpreter, printable(path)+": its interpreters are too many: each is a script itself")
	}
	at := path
	if len(at) > 0 && at[0] != '/' {
		at = dir + "/" + at
	}
	fd, err := syscall.Open(at, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return ok // it may be for executing only
	}
	defer syscall.Close(fd)
	head := make([]byte, 4096)
	n := readAt(fd, head, 0)
	kind := "interpreter"
	interpreter, script := scriptInterpreter(head[:n])
	windows := len(interpreter) > 0 && interpreter[len(interpreter)-1] == '\r'
	if !script {
		interpreter, kind = linker(head[:n], func(b []byte, off int64) int { return readAt(fd, b, off) }), "dynamic linker"
	}
	if interpreter == "" {
		return ok
	}
	seen := interpreter
	if seen[0] != '/' {
		seen = dir + "/" + seen
	}
	why := ""
	switch executable(seen) {
	case 0:
		if kind == "interpreter" {
			return unfitBelow(interpreter, dir, depth+1)
		}
	case syscall.ENOENT:
		why = " does not exist"
	default:
		why = " cannot be executed"
	}
	if windows {
		why += " (the file has Windows line ends)"
	}
	if why == "" {
		return ok
	}
	return fail(noInterpreter, printable(path)+": its "+kind+" "+printable(interpreter)+why)
}

// scriptInterpreter finds what the first line of a script names, as load_script in fs/binfmt_script.c does. It is empty where the line is
// none that the kernel takes.
func scriptInterpreter(b []byte) (name string, is bool) {
	if len(b) < 2 || b[0] != '#' || b[1] != '!' {
		return "", false
	}
	const most = 255 // of BINPRM_BUF_SIZE
	start := 2
	for start < len(b) && (b[start] == ' ' || b[start] == '\t') {
		start++
	}
	end := start
	for end < len(b) && b[end] != ' ' && b[end] != '\t' && b[end] != '\n' && b[end] != 0 {
		end++
	}
	if end >= most {
		return "", true
	}
	return string(b[start:end]), true
}

// linker finds the dynamic linker of a 64-bit ELF program of this machine. elf(5); it is empty for any other file, and where there is none.
func linker(head []byte, read func(b []byte, off int64) int) string {
	const header, segment, interp, most = 64, 56, 3, 4096 // bytes; bytes; PT_INTERP; PATH_MAX
	if len(head) < header || string(head[:6]) != "\x7fELF\x02\x01" || le(head[18:20]) != elfMachine || le(head[54:56]) != segment {
		return ""
	}
	part := func(off, size uint64) []byte {
		if off+size >= off && off+size <= uint64(len(head)) {
			return head[off : off+size]
		}
		b := make([]byte, size)
		if off > 1<<62 || read(b, int64(off)) != len(b) {
			return nil
		}
		return b
	}
	const segments = 1170 // in 64 KiB, the kernel's own bound
	for i := range min(le(head[56:58]), segments) {
		p := part(le(head[32:40])+i*segment, segment)
		if p == nil {
			return ""
		}
		size := le(p[32:40])
		if le(p[:4]) != interp || size < 2 || size > most {
			continue
		}
		name := part(le(p[8:16]), size)
		for end, c := range name {
			if c == 0 {
				return string(name[:end])
			}
		}
		return "" // execve(2) says so
	}
	return ""
}

// le is a number whose least byte comes first.
func le(b []byte) (n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		n = n<<8 | uint64(b[i])
	}
	return n
}

// readAt fills b, as far as the file goes.
func readAt(fd int, b []byte, off int64) int {
	got := 0
	for got < len(b) {
		n, err := syscall.Pread(fd, b[got:], off+int64(got))
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		got += n
	}
	return got
}

// printable shows what a terminal would take for something else.
func printable(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\r':
			b = append(b, `\r`...)
		case c < ' ' || c == 0x7f:
			b = append(b, '?')
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// argumentMax is how long an argument or a variable may be, with the zero behind it: MAX_ARG_STRLEN.
func argumentMax() int { return 32 * syscall.Getpagesize() }

// TooLong returns what of a command is more than the kernel takes, empty if nothing is that can be told from the command alone: all of it
// together may be a quarter of the stack's limit, 2 MiB as nodes have it. execve(2).
func TooLong(argv, env []string) string {
	const most = 2 << 20
	total := 0
	for list, all := range [2][]string{argv, env} {
		for i, s := range all {
			if total += len(s) + 1 + 8; len(s) < argumentMax() {
				continue
			}
			what := "argument " + decimal(i)
			if list == 1 {
				what = "the variable " + printable(name(s))
			}
			return what + " has " + decimal(len(s)) + " bytes, and " + decimal(argumentMax()-1) + " are allowed"
		}
	}
	if total > most {
		return "arguments and environment have " + decimal(total) + " bytes together, and " + decimal(most) + " are allowed"
	}
	return ""
}

// name is that of a variable.
func name(s string) string {
	for i := range len(s) {
		if s[i] == '=' {
			return s[:i]
		}
	}
	return s
}

// unmapped tells which of a user's ids the node has not: one with a user namespace of its own has those from 0 to 65,535.
func unmapped(spec string, uid, gid uint32, groups []uint32) failure {
	of := [2]string{"user", "group"}
	for i, id := range append([]uint32{uid, gid}, groups...) {
		if id < IDs || id < lastMapped() {
			continue
		}
		what := of[min(i, 1)]
		return fail(outsideIDs, "\""+printable(spec)+"\" has the "+what+" id "+decimal(int(id))+", and the node's ids end at "+decimal(IDs-1))
	}
	return ok
}

// lastMapped is how many ids a privileged node has, those of the host, and 0 for any other. user_namespaces(7).
func lastMapped() uint32 {
	b := slurp("/proc/self/uid_map") // "         0          0 4294967295\n"
	var numbers [3]uint64
	at, digits := 0, false
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9' && at < len(numbers):
			numbers[at], digits = numbers[at]*10+uint64(c-'0'), true
		case digits:
			at, digits = at+1, false
		}
	}
	if numbers[0] != 0 || numbers[1] != 0 || numbers[2] > 1<<32-1 {
		return 0
	}
	return uint32(numbers[2])
}
