package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

const (
	retAllow  = uint32(unix.SECCOMP_RET_ALLOW)
	retEPERM  = uint32(unix.SECCOMP_RET_ERRNO | 1)
	retENOSYS = uint32(unix.SECCOMP_RET_ERRNO | 38)
	retKill   = uint32(unix.SECCOMP_RET_KILL_PROCESS)
	sysAdmin  = uint64(1 << unix.CAP_SYS_ADMIN)
	amd64     = uint32(unix.AUDIT_ARCH_X86_64)
	arm64     = uint32(unix.AUDIT_ARCH_AARCH64)
	i386      = uint32(unix.AUDIT_ARCH_I386)
)

// seccompVM interprets an assembled filter.
type seccompVM struct{ vm *bpf.VM }

func newSeccompVM(t interface{ Fatal(...any) }, goarch string, caps uint64) seccompVM {
	program, err := assembleSeccomp(goarch, caps)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return seccompVM{vm}
}

// run returns the filter's answer for one system call. The interpreter loads words as
// big endian: each 32-bit word of struct seccomp_data is put where a little-endian
// machine has it, in the byte order that the interpreter reads.
func (v seccompVM) run(t interface{ Fatal(...any) }, arch, nr uint32, args ...uint64) uint32 {
	words := []uint32{nr, arch, 0, 0}
	for i := range 6 {
		var a uint64
		if i < len(args) {
			a = args[i]
		}
		words = append(words, uint32(a), uint32(a>>32))
	}
	var data []byte
	for _, w := range words {
		data = binary.BigEndian.AppendUint32(data, w)
	}
	ret, err := v.vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(ret)
}

func TestSeccompVerdicts(t *testing.T) {
	const high = 1 << 63
	for _, tc := range []struct {
		name string
		arch uint32
		nr   uint32
		arg  uint64
		caps uint64
		want uint32
	}{
		{"read", amd64, 0, 0, 0, retAllow},
		{"read", arm64, 63, 0, 0, retAllow},
		{"openat2", amd64, 437, 0, 0, retAllow},
		{"io_setup, arm64's first", arm64, 0, 0, 0, retENOSYS},
		{"io_setup", amd64, 206, 0, 0, retENOSYS},
		{"io_setup with SYS_RESOURCE", arm64, 0, 0, 1 << unix.CAP_SYS_RESOURCE, retAllow},
		{"io_destroy", arm64, 1, 0, 0, retAllow},
		{"i386 exit_group", i386, 252, 0, 0, retKill},
		{"x32 read", amd64, 0x40000000, 0, 0, retENOSYS},
		{"x32 execve", amd64, 0x40000000 + 520, 0, ^uint64(0), retENOSYS},
		{"number -1", amd64, ^uint32(0), 0, 0, retENOSYS},
		{"younger than the table", amd64, 900, 0, ^uint64(0), retENOSYS},
		{"a gap", arm64, 250, 0, 0, retENOSYS},
		{"clone thread", amd64, 56, unix.CLONE_VM | unix.CLONE_THREAD, 0, retAllow},
		{"clone newuser", amd64, 56, unix.CLONE_NEWUSER | 17, 0, retEPERM},
		{"clone newns", arm64, 220, unix.CLONE_NEWNS, 0, retEPERM},
		{"clone newcgroup", amd64, 56, unix.CLONE_NEWCGROUP, 0, retEPERM},
		{"clone newnet, upper bits", amd64, 56, high | unix.CLONE_NEWNET, 0, retEPERM},
		{"clone newuser as admin", amd64, 56, unix.CLONE_NEWUSER, sysAdmin, retAllow},
		{"clone3", amd64, 435, 0, 0, retENOSYS},
		{"clone3", arm64, 435, 0, 0, retENOSYS},
		{"clone3 as admin", amd64, 435, 0, sysAdmin, retAllow},
		{"unshare", amd64, 272, 0, 0, retEPERM},
		{"unshare as admin", arm64, 97, 0, sysAdmin, retAllow},
		{"mount", amd64, 165, 0, 0, retEPERM},
		{"mount as admin", amd64, 165, 0, sysAdmin, retAllow},
		{"fsopen", amd64, 430, 0, 0, retEPERM},
		{"setns", arm64, 268, 0, 0, retEPERM},
		{"bpf", amd64, 321, 0, ^uint64(0), retEPERM},
		{"perf_event_open", amd64, 298, 0, ^uint64(0), retEPERM},
		{"io_uring_setup", amd64, 425, 0, ^uint64(0), retEPERM},
		{"keyctl", amd64, 250, 0, ^uint64(0), retEPERM},
		{"keyctl", arm64, 219, 0, ^uint64(0), retEPERM},
		{"userfaultfd", amd64, 323, 0, ^uint64(0), retEPERM},
		{"init_module", amd64, 175, 0, ^uint64(0), retEPERM},
		{"kexec_file_load", arm64, 294, 0, ^uint64(0), retEPERM},
		{"chroot without", amd64, 161, 0, 0, retEPERM},
		{"chroot with", amd64, 161, 0, defaultCapabilities, retAllow},
		{"open_by_handle_at", amd64, 304, 0, defaultCapabilities, retEPERM},
		{"socket inet", amd64, 41, unix.AF_INET, 0, retAllow},
		{"socket packet", arm64, 198, unix.AF_PACKET, 0, retAllow},
		{"socket alg", amd64, 41, unix.AF_ALG, ^uint64(0), retEPERM},
		{"socket alg, upper bits", amd64, 41, high | unix.AF_ALG, 0, retEPERM},
		{"socket vsock", arm64, 198, unix.AF_VSOCK, 0, retEPERM},
		{"personality query", amd64, 135, 0xffffffff, 0, retAllow},
		{"personality linux32", amd64, 135, 8, 0, retAllow},
		{"personality no random", amd64, 135, 0x40000, 0, retEPERM},
		{"personality read implies exec", arm64, 92, 0x400000, 0, retEPERM},
	} {
		goarch := "amd64"
		if tc.arch == arm64 {
			goarch = "arm64"
		}
		if got := newSeccompVM(t, goarch, tc.caps).run(t, tc.arch, tc.nr, tc.arg); got != tc.want {
			t.Errorf("%s (%d on %s, %#x): %#x, want %#x", tc.name, tc.nr, goarch, tc.arg, got, tc.want)
		}
	}
}

// The program answers for every number as the policy says.
func TestSeccompMatchesPolicy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		caps := rapid.Uint64().Draw(rt, "caps")
		verdicts := seccompVerdicts(caps)
		for goarch, arch := range map[string]uint32{"amd64": amd64, "arm64": arm64} {
			want := map[uint32]uint32{}
			for _, s := range syscallTable {
				n := s.amd64
				if goarch == "arm64" {
					n = s.arm64
				}
				answer := retEPERM
				switch v, ok := verdicts[s.name]; {
				case !ok:
				case v == verdictUnknown:
					answer = retENOSYS
				default: // the conditional ones allow a first argument of 0
					answer = retAllow
				}
				want[uint32(n)] = answer
			}
			vm := newSeccompVM(rt, goarch, caps)
			for nr := range uint32(520) {
				w, ok := want[nr]
				if !ok {
					w = retENOSYS
				}
				if got := vm.run(rt, arch, nr); got != w {
					rt.Fatalf("%s %d: %#x, want %#x", goarch, nr, got, w)
				}
				if got := vm.run(rt, i386, nr); got != retKill {
					rt.Fatalf("i386 %d: %#x", nr, got)
				}
			}
		}
	})
}

// seccompRefused are the calls that no capability opens. They are listed so that a call
// that is new in the table must be decided about.
const seccompRefused = `
_sysctl add_key afs_syscall bpf create_module delete_module epoll_ctl_old epoll_wait_old
finit_module get_kernel_syms getpmsg init_module io_uring_enter io_uring_register
io_uring_setup kexec_file_load kexec_load keyctl lookup_dcookie lsm_set_self_attr nfsservctl
perf_event_open putpmsg query_module request_key security swapoff swapon sysfs tuxcall uselib
userfaultfd ustat vserver`

func TestSeccompEveryCallDecided(t *testing.T) {
	lists := map[string]int{}
	count := func(names string) {
		for name := range strings.FieldsSeq(names) {
			lists[name]++
		}
	}
	count(seccompAllowed)
	count(seccompRefused)
	count("socket personality")
	for _, g := range seccompGated {
		count(g.names)
	}
	for _, s := range syscallTable {
		if lists[s.name] != 1 {
			t.Errorf("%s is in %d lists", s.name, lists[s.name])
		}
		delete(lists, s.name)
	}
	for name := range lists {
		t.Errorf("%s is not in the table", name)
	}
}

func TestSeccompFilterProfiles(t *testing.T) {
	if f, err := SeccompFilter("unconfined", 0); f != nil || err != nil {
		t.Errorf("unconfined: %v, %v", f, err)
	}
	for _, profile := range []string{"", "Default", "strict"} {
		if f, err := SeccompFilter(profile, 0); f != nil || err == nil {
			t.Errorf("%q: %d bytes, %v", profile, len(f), err)
		}
	}
	f, err := SeccompFilter("default", defaultCapabilities)
	if err != nil || len(f)%8 != 0 || len(f)/8 > 4096 {
		t.Fatalf("default: %d bytes, %v", len(f), err)
	}
	again, _ := SeccompFilter("default", defaultCapabilities)
	if !bytes.Equal(f, again) {
		t.Error("two programs differ")
	}
	t.Logf("%d instructions", len(f)/8)
	if _, err := assembleSeccomp("riscv64", 0); err == nil {
		t.Error("a program for an architecture without a table")
	}
}

func BenchmarkSeccompFilter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SeccompFilter("default", defaultCapabilities); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSeccompLoaded puts a child under the filter and has it try.
func TestSeccompLoaded(t *testing.T) {
	const helper = "NSNET_TEST_SECCOMP_CHILD"
	if os.Getenv(helper) != "" {
		if err := seccompChild(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("all as expected")
		os.Exit(0)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSeccompLoaded$")
	cmd.Env = append(os.Environ(), helper+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all as expected") {
		t.Errorf("child: %v\n%s", err, out)
	}
}

// seccompChild loads the filter into all threads of this process and makes calls.
func seccompChild() error {
	filter, err := SeccompFilter("default", defaultCapabilities)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(filter) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog))); e != 0 {
		return fmt.Errorf("load filter: %w", e)
	}
	runtime.KeepAlive(filter)

	call := func(nr uintptr, args ...uintptr) error {
		args = append(args, 0, 0, 0)
		if _, _, e := unix.Syscall(nr, args[0], args[1], args[2]); e != 0 {
			return e
		}
		return nil
	}
	for _, tc := range []struct {
		name string
		err  error
		want error
	}{
		{"unshare", call(unix.SYS_UNSHARE, unix.CLONE_NEWNS), unix.EPERM},
		{"clone newuser", call(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD)), unix.EPERM},
		{"clone3", call(unix.SYS_CLONE3, 0, 0), unix.ENOSYS},
		{"keyctl", call(unix.SYS_KEYCTL, 0, 0), unix.EPERM},
		{"bpf", call(unix.SYS_BPF), unix.EPERM},
		{"io_uring_setup", call(unix.SYS_IO_URING_SETUP, 1), unix.EPERM},
		{"socket alg", call(unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET), unix.EPERM},
		{"socket unix", call(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM), nil},
		{"unknown", call(900), unix.ENOSYS},
		{"getppid", call(unix.SYS_GETPPID), nil},
	} {
		if !errors.Is(tc.err, tc.want) {
			return fmt.Errorf("%s: %w, want %w", tc.name, tc.err, tc.want)
		}
	}
	out, err := exec.Command("/bin/sh", "-c", "echo ran | cat").CombinedOutput()
	if err != nil || string(out) != "ran\n" {
		return fmt.Errorf("run a pipeline: %q, %w", out, err)
	}
	return nil
}
