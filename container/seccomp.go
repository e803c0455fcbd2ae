package container

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

//go:generate sh -c "go run ./testdata/gensyscalls $(go list -m -f '{{.Dir}}' golang.org/x/sys)/unix >seccomp_table.go.new && mv seccomp_table.go.new seccomp_table.go"

// SeccompFilter assembles a seccomp profile for processes that have the given
// capabilities. The result is an array of struct sock_filter in native byte order, for
// SECCOMP_SET_MODE_FILTER of seccomp(2); nil means no filter.
//
// Profile "unconfined" is no filter. Profile "default" allows the system calls of a
// list; with everything else, a process gets
//
//	EPERM   for what is known and not on the list: kernel-wide state (modules, kexec,
//	        swap, clocks), keyrings, bpf, perf events, io_uring, userfaultfd; for mounts
//	        and namespaces unless caps has SYS_ADMIN, and likewise for other calls that
//	        one capability opens; for AF_ALG and AF_VSOCK sockets
//	ENOSYS  for numbers younger than this package's table, so that a newer C library
//	        falls back to older calls; for the x32 calls of amd64; for clone3(2) unless
//	        caps has SYS_ADMIN, as a filter cannot see its flags and clone(2)'s it can
//	SIGSYS  in calls of another architecture, whose numbers mean other things
//
// The kernel caches the verdicts that depend on the number alone, from 5.11 on; only
// clone, socket and personality run the filter each time.
func SeccompFilter(profile string, caps uint64) ([]byte, error) {
	switch profile {
	case "unconfined":
		return nil, nil
	case "default":
	default:
		return nil, fmt.Errorf("assemble seccomp filter: unknown profile %q", profile)
	}
	program, err := assembleSeccomp(runtime.GOARCH, caps)
	if err != nil {
		return nil, fmt.Errorf("assemble seccomp filter: %w", err)
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble seccomp filter: %w", err)
	}
	out := make([]byte, 0, 8*len(raw))
	for _, in := range raw {
		out = binary.NativeEndian.AppendUint16(out, in.Op)
		out = append(out, in.Jt, in.Jf)
		out = binary.NativeEndian.AppendUint32(out, in.K)
	}
	return out, nil
}

// Offsets in struct seccomp_data. The kernel truncates the arguments that the filter
// looks at to 32 bits, so it must look at these alone: comparing all 64 bits would let
// a process pass with any of the upper ones set. Both architectures are little endian.
const (
	seccompNumber = 0
	seccompArch   = 4
	seccompArg0   = 16
)

// cloneNamespaces has every CLONE_NEW* flag that clone(2) knows. CLONE_NEWTIME is
// clone3's: to clone its bit is part of the exit signal.
const cloneNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// personalities are what personality(2) may be set to: PER_LINUX and PER_LINUX32, either
// with UNAME26, and the query. Others weaken address space randomisation.
var personalities = [...]uint32{0, 0x8, 0x20000, 0x20008, 0xffffffff}

// syscallNumbers are the numbers of one system call; -1 is none.
type syscallNumbers struct {
	name         string
	amd64, arm64 int16
}

// verdict is what becomes of a system call.
type verdict uint8

const (
	verdictUnknown verdict = iota // ENOSYS
	verdictRefuse                 // EPERM
	verdictAllow
	verdictClone       // allowed without new namespaces
	verdictSocket      // allowed but for some address families
	verdictPersonality // allowed for harmless values
)

// seccompSpan is a run of system call numbers with one verdict: from first to the next
// span's first.
type seccompSpan struct {
	first   uint32
	verdict verdict
}

// assembleSeccomp makes the default profile's program for a GOARCH. After two checks it
// is a balanced tree of comparisons over runs of numbers, so that no call passes more
// than a handful of instructions.
func assembleSeccomp(goarch string, caps uint64) ([]bpf.Instruction, error) {
	var audit uint32
	number := func(s syscallNumbers) int16 { return s.amd64 }
	switch goarch {
	case "amd64":
		audit = unix.AUDIT_ARCH_X86_64
	case "arm64":
		audit = unix.AUDIT_ARCH_AARCH64
		number = func(s syscallNumbers) int16 { return s.arm64 }
	default:
		return nil, fmt.Errorf("no system call table for %s", goarch)
	}
	verdicts := seccompVerdicts(caps)
	var table []verdict // by number
	for _, s := range syscallTable {
		n := int(number(s))
		if n < 0 {
			continue
		}
		if n >= len(table) {
			table = slices.Grow(table, n+1-len(table))[:n+1]
		}
		table[n] = verdictRefuse
		if v, ok := verdicts[s.name]; ok {
			table[n] = v
		}
	}
	spans := []seccompSpan{{0, table[0]}}
	for n, v := range append(table, verdictUnknown) {
		if v != spans[len(spans)-1].verdict {
			spans = append(spans, seccompSpan{uint32(n), v})
		}
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: seccompArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: audit, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: seccompNumber, Size: 4},
	}
	return append(program, seccompTree(spans)...), nil
}

// seccompTree finds the span of the number in the accumulator and returns its verdict.
// Every path ends in a return: nothing goes on with a changed accumulator.
func seccompTree(spans []seccompSpan) []bpf.Instruction {
	if len(spans) == 1 {
		return seccompLeaf(spans[0].verdict)
	}
	mid := len(spans) / 2
	left, right := seccompTree(spans[:mid]), seccompTree(spans[mid:])
	program := make([]bpf.Instruction, 0, 2+len(left)+len(right))
	if len(left) <= 255 {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: spans[mid].first, SkipTrue: uint8(len(left))})
	} else { // a conditional jump reaches 255 instructions
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: spans[mid].first, SkipFalse: 1},
			bpf.Jump{Skip: uint32(len(left))})
	}
	program = append(program, left...)
	return append(program, right...)
}

// seccompLeaf returns the instructions that carry out a verdict.
func seccompLeaf(v verdict) []bpf.Instruction {
	var (
		allow  = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
		refuse = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
		arg0   = bpf.LoadAbsolute{Off: seccompArg0, Size: 4}
	)
	switch v {
	case verdictAllow:
		return []bpf.Instruction{allow}
	case verdictRefuse:
		return []bpf.Instruction{refuse}
	case verdictClone:
		return []bpf.Instruction{arg0,
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: cloneNamespaces, SkipTrue: 1},
			allow, refuse}
	case verdictSocket:
		return []bpf.Instruction{arg0,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_ALG, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_VSOCK, SkipTrue: 1},
			allow, refuse}
	case verdictPersonality:
		leaf := []bpf.Instruction{arg0}
		for i, p := range personalities {
			leaf = append(leaf, bpf.JumpIf{Cond: bpf.JumpEqual, Val: p, SkipTrue: uint8(len(personalities) - i)})
		}
		return append(leaf, refuse, allow)
	}
	return []bpf.Instruction{bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}}
}

// seccompVerdicts returns the verdicts of the default profile, by name. Those not in it
// are refused.
func seccompVerdicts(caps uint64) map[string]verdict {
	verdicts := make(map[string]verdict, len(syscallTable))
	allow := func(names string) {
		for name := range strings.FieldsSeq(names) {
			verdicts[name] = verdictAllow
		}
	}
	allow(seccompAllowed)
	verdicts["clone"] = verdictClone
	verdicts["clone3"] = verdictUnknown
	// fs.aio-max-nr is one number for the whole machine, root included, and the kernel counts for nobody. Programs know kernels without.
	verdicts["io_setup"] = verdictUnknown
	verdicts["socket"] = verdictSocket
	verdicts["personality"] = verdictPersonality
	for _, g := range seccompGated {
		if caps&(1<<g.capability) != 0 {
			allow(g.names)
		}
	}
	return verdicts
}

// seccompGated are the calls that one capability opens.
var seccompGated = [...]struct {
	capability uint
	names      string
}{
	{unix.CAP_SYS_ADMIN, `clone clone3 fanotify_init fsconfig fsmount fsopen fspick listns mount
		mount_setattr move_mount open_tree open_tree_attr pivot_root quotactl quotactl_fd
		setdomainname sethostname setns umount2 unshare`},
	{unix.CAP_SYS_CHROOT, "chroot"},
	{unix.CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev"},
	{unix.CAP_SYS_NICE, "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node"},
	{unix.CAP_DAC_READ_SEARCH, "open_by_handle_at"},
	{unix.CAP_SYS_BOOT, "reboot"},
	{unix.CAP_SYS_PACCT, "acct"},
	{unix.CAP_SYS_RAWIO, "ioperm iopl"},
	{unix.CAP_SYS_RESOURCE, "io_setup"},
	{unix.CAP_SYS_TIME, "clock_settime settimeofday"},
	{unix.CAP_SYS_TTY_CONFIG, "vhangup"},
	{unix.CAP_SYSLOG, "syslog"},
}

// seccompAllowed are the calls that every process may make. Names that an architecture
// does not have count for the other.
const seccompAllowed = `
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod
chown clock_adjtime clock_getres clock_gettime clock_nanosleep close close_range connect
copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
fdatasync fgetxattr file_getattr file_setattr flistxattr flock fork fremovexattr fsetxattr
fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid
getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
io_getevents io_pgetevents io_submit ioctl ioprio_get ioprio_set kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat
listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr
lsm_get_self_attr lsm_list_modules lstat madvise map_shadow_stack membarrier memfd_create
memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl
msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat
open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6
ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg
recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall
rmdir rseq rseq_slice_yield rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto
set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer
setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid
setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair
splice stat statfs statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee
tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime
timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat
uprobe uretprobe utime utimensat utimes vfork vmsplice wait4 waitid write writev`
