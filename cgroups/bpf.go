package cgroups

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A program for devices is some thirty instructions and two calls of bpf(2), which a library for eBPF would make
// a megabyte of. Its context is struct bpf_cgroup_dev_ctx: access_type (the kind of device in the lower half),
// major and minor; it returns 1 to allow.

// instruction is struct bpf_insn.
type instruction struct {
	op     uint8
	dst    uint8
	src    uint8
	offset int16
	value  int32
}

// Operations, from linux/bpf_common.h and linux/bpf.h, on registers of 32 bits.
const (
	opLoad  = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
	opAnd   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opMove  = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
	opNotEq = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K
	opExit  = unix.BPF_JMP | unix.BPF_EXIT
)

// deviceProgram is the rules as a program.
func deviceProgram(rules []deviceRule) []instruction {
	const result, context, kind, major, minor = 0, 1, 2, 3, 4
	verdict := func(allow int32) []instruction {
		return []instruction{{op: opMove, dst: result, value: allow}, {op: opExit}}
	}
	prog := []instruction{
		{op: opLoad, dst: kind, src: context, offset: 0},
		{op: opLoad, dst: major, src: context, offset: 4},
		{op: opLoad, dst: minor, src: context, offset: 8},
		{op: opAnd, dst: kind, value: 0xffff},
		{op: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, dst: kind, offset: 2, value: unix.BPF_DEVCG_DEV_CHAR},
	}
	prog = append(prog, verdict(0)...)
	for _, r := range rules {
		if r.minor < 0 {
			prog = append(prog, instruction{op: opNotEq, dst: major, offset: 2, value: int32(r.major)})
		} else {
			prog = append(prog, instruction{op: opNotEq, dst: major, offset: 3, value: int32(r.major)}, instruction{op: opNotEq, dst: minor, offset: 2, value: int32(r.minor)})
		}
		prog = append(prog, verdict(1)...)
	}
	return append(prog, verdict(0)...)
}

// encode is a program as the kernel takes it.
func encode(prog []instruction) []byte {
	b := make([]byte, 0, 8*len(prog))
	for _, i := range prog {
		b = append(b, i.op, i.dst|i.src<<4)
		b = binary.NativeEndian.AppendUint16(b, uint16(i.offset))
		b = binary.NativeEndian.AppendUint32(b, uint32(i.value))
	}
	return b
}

// loadTries is how often a program is loaded when something that is no signal, such as a freezer, comes between.
const loadTries = 5

// loadDeviceProgram loads the rules. bpf(2), BPF_PROG_LOAD; Linux 4.15.
func loadDeviceProgram(rules []deviceRule) (fd int, err error) {
	text, license := encode(deviceProgram(rules)), []byte("Apache-2.0\x00")
	attr := struct {
		kind, count       uint32
		text, license     uint64
		logLevel, logSize uint32
		log               uint64
		version, flags    uint32
		name              [16]byte
	}{kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(text) / 8)}
	var pin runtime.Pinner // the kernel is given addresses in a number, which keeps nothing where it is
	defer pin.Unpin()
	pin.Pin(&text[0])
	pin.Pin(&license[0])
	attr.text, attr.license = uint64(uintptr(unsafe.Pointer(&text[0]))), uint64(uintptr(unsafe.Pointer(&license[0])))
	copy(attr.name[:], "nsnet_devices")
	err = withoutSignals(func() error {
		e := unix.EAGAIN
		for try := 0; e == unix.EAGAIN && try < loadTries; try++ {
			var r uintptr
			if r, _, e = unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)); e == 0 {
				fd = int(r)
				return nil
			}
		}
		return e
	})
	if err != nil {
		return -1, fmt.Errorf("load the program for devices: %w", err)
	}
	return fd, nil
}

// withoutSignals calls f with its thread's signals blocked. The kernel's verifier gives up with EAGAIN when one waits
// for the thread, and the runtime sends its threads SIGURG as it likes.
func withoutSignals(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	return f()
}

// attachProgram attaches a program for devices to a group, beside those that its parents have: each has to allow.
// bpf(2), BPF_PROG_ATTACH.
func attachProgram(group, prog int) error {
	attr := struct{ group, prog, kind, flags uint32 }{uint32(group), uint32(prog), unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI}
	if _, _, e := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_ATTACH, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)); e != 0 {
		return fmt.Errorf("attach the program for devices: %w", e)
	}
	return nil
}
