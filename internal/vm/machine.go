package vm

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed guest
var guest embed.FS

// Machine is a virtual machine to be.
type Machine struct {
	Kernel   Kernel
	Modules  []string          // to be loaded, with what they depend on
	Programs []string          // of this machine, for the guest's /usr/bin; paths, of libraries too, stay what they are
	Files    map[string]string // more files: path in the guest, path here
	Scripts  []string          // paths of what is run, one after the other, by sh -eux after guest/lib.sh
	Memory   int               // MiB; 0 is 512
	Disk     string            // path of a disk's raw content, /dev/vda of the guest, for another machine to go on with; empty: none
	Append   string            // more of the kernel's command line
	Card     bool              // a network card, eth0 of the guest, with nothing at the other end of its cable
	Cut      bool              // the last script is to end with power_cut of guest/lib.sh: then it has no Result
}

// Result is how one script ended.
type Result struct {
	Name   string // the script's file name without .sh
	Code   int
	Output string
	Uptime float64 // of the machine when it ended, in seconds
}

// Run boots the machine, runs its scripts and waits for its end, which that of ctx brings about as
// well. The console is all that the guest said, for the reader of an error. An error is what kept
// a script from being run to its end, or what the kernel said against itself; a script that
// failed is a Result.
func (m *Machine) Run(ctx context.Context) (results []Result, console string, err error) {
	dir, err := os.MkdirTemp("", "nsnet-vm-")
	if err != nil {
		return nil, "", fmt.Errorf("boot kernel %s: %w", m.Kernel.Version, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	t, err := m.tree()
	if err != nil {
		return nil, "", fmt.Errorf("prepare the guest of kernel %s: %w", m.Kernel.Version, err)
	}
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, t.archive(), 0o600); err != nil {
		return nil, "", fmt.Errorf("prepare the guest of kernel %s: %w", m.Kernel.Version, err)
	}
	memory := m.Memory
	if memory == 0 {
		memory = 512
	}
	// Both processors in one thread: with one thread each, qemu 7.2 meets breakpoints that the kernel
	// has taken away again (text_poke). And without CMPXCHG16B, after which it leaves garbage in the
	// flags, and the kernel sees single steps.
	args := []string{"-accel", "tcg,thread=single", "-cpu", "max,-cx16", "-smp", "2", "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", m.Kernel.image, "-initrd", initrd,
		// An oops ends the machine at once: what comes after it proves nothing. And on a busy host the kernel would take a timer
		// whose ticks come late for one that is not wired to the IO-APIC, which it then does without: most interrupts are lost.
		"-append", "console=ttyS0 quiet panic=-1 oops=panic no_timer_check " + m.Append}
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64", append(args, m.devices()...)...).CombinedOutput()
	console = strings.ReplaceAll(string(out), "\r", "")
	if err != nil {
		return nil, console, fmt.Errorf("run qemu with kernel %s: %w", m.Kernel.Version, errors.Join(ctx.Err(), err))
	}
	results, err = parse(console, scriptNames(m.Scripts), m.Cut)
	if err != nil {
		err = fmt.Errorf("kernel %s: %w", m.Kernel.Version, err)
	}
	return results, console, err
}

// devices are qemu's words for the disk and the card.
func (m *Machine) devices() []string {
	var args []string
	if m.Disk != "" {
		// What the guest has written is in the file, whatever becomes of the guest: a disk without a cache that a power cut empties.
		args = append(args, "-drive", "if=virtio,format=raw,cache=writeback,file="+strings.ReplaceAll(m.Disk, ",", ",,"))
	}
	if m.Card {
		args = append(args, "-netdev", "hubport,id=cable,hubid=0", "-device", "virtio-net-pci,netdev=cable,romfile=")
	}
	return args
}

// modules are those that the machine needs itself, and those that are wanted.
func (m *Machine) modules() []string {
	names := []string{"brd"}
	if m.Disk != "" {
		names = append(names, "virtio_pci", "virtio_blk")
	}
	if m.Card {
		names = append(names, "virtio_pci", "virtio_net")
	}
	return append(names, m.Modules...)
}

func scriptNames(paths []string) []string {
	var names []string
	for _, p := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".sh"))
	}
	return names
}

// tree is what the guest boots from.
func (m *Machine) tree() (tree, error) {
	t := tree{}
	for dir, perm := range map[string]os.FileMode{"/proc": 0o555, "/sys": 0o555, "/dev": 0o755, "/run": 0o755,
		"/tmp": 0o777 | os.ModeSticky, "/root": 0o700, "/usr/bin": 0o755, "/var/log": 0o755, "/new": 0o755} {
		t.dir(dir, perm)
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		t.link("/"+d, "usr/"+d)
	}
	t.link("/usr/sbin", "bin")
	t.put("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"))
	t.put("/etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	t.put("/etc/shadow", 0o600, []byte("root:secret-of-the-host:::::::\n"))
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	if err := t.copy("/usr/bin/busybox", busybox); err != nil {
		return nil, err
	}
	// Without /init switch_root(8) does not believe that it is in an initramfs.
	for to, from := range map[string]string{"/init": "init", "/vm/main": "main", "/vm/lib.sh": "lib.sh"} {
		data, err := guest.ReadFile("guest/" + from)
		if err != nil {
			return nil, err
		}
		t.put(to, 0o755, data)
	}
	modules, err := m.Kernel.load(m.modules())
	if err != nil {
		return nil, err
	}
	var order strings.Builder
	for _, mod := range modules {
		t.put("/vm/modules/"+mod.name+".ko", 0o644, mod.data)
		fmt.Fprintln(&order, mod.name)
	}
	t.put("/vm/modules/order", 0o644, []byte(order.String()))
	for _, p := range m.Programs {
		if err := t.program(p); err != nil {
			return nil, err
		}
	}
	for to, from := range m.Files {
		if err := t.copy(to, from); err != nil {
			return nil, err
		}
	}
	names := scriptNames(m.Scripts)
	for i, name := range names {
		if err := t.copy("/vm/scripts/"+name+".sh", m.Scripts[i]); err != nil {
			return nil, err
		}
	}
	t.put("/vm/scripts/order", 0o644, []byte(strings.Join(names, "\n")+"\n"))
	return t.underUsr(), nil
}

// underUsr moves what is in /lib and the like below /usr, where the links of the root lead.
func (t tree) underUsr() tree {
	out := tree{}
	for name, f := range t {
		for _, d := range []string{"/bin/", "/sbin/", "/lib/", "/lib64/"} {
			if strings.HasPrefix(name, d) {
				name = "/usr" + name
				break
			}
		}
		out[name] = f
	}
	return out
}
