package container

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/topology"
)

// Places in the lab's own mount namespace, which a node init starts in.
const (
	Work    = "/n"     // empty directory: each node's own tmpfs goes here
	Devices = "/devs"  // device nodes, made by the host's root
	Empty   = "/empty" // empty read-only directory, for masks
	root    = Work + "/root"
)

// DefaultPath is the PATH of a node's commands unless its env says otherwise.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Mounts received with a boot program: the layers first, then what is kept, unions, and one for each bind.
const (
	MountCommon = iota // the lab's common layer
	MountImage         // layers above the image and the image's, the topmost first
)

// Setup is what a boot program needs to know besides the node.
type Setup struct {
	Caps    uint64      // capabilities the node keeps
	Filter  []byte      // seccomp program; empty: none
	Masks   []string    // those of MaskedPaths that exist here, relative
	Sysctls [][2]string // those of DefaultSysctls that a new network namespace has not
	IPC     [][2]string // those of IPCSysctls, unless somebody else has set them
	Resolv  []byte      // resolv.conf; nil: the image's own stays
	Hosts   []byte      // the node's own /etc/hosts; nil: the common layer's
	Above   int         // layers between the common one and the image
	Layers  int         // of the image; 0 is 1
	Apart   bool        // the image is an overlay of its own: a layer above is part of it, which one overlay cannot have twice
	Kept    bool        // the writable layer comes as a mount, behind the image's, for Persist nodes that are not Assembled
	Tried   bool        // the node is made beside one that writes to that layer: it sees the layer, and has another one to write to
	MaxSize string      // size of the node's tmpfs, see TmpfsSize

	// The root filesystem comes assembled in place of the common layer, with Files in it, and no
	// other layers: for kernels on which a node init cannot assemble it, and for copies.
	Assembled bool
}

// MaskedPaths are files of proc and sysfs that tell of the host and not of the node.
func MaskedPaths() []string {
	return []string{"proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys",
		"proc/latency_stats", "proc/sched_debug", "proc/scsi", "proc/timer_list", "proc/timer_stats",
		"sys/firmware", "sys/devices/virtual/powercap"}
}

// BootProgram is what a node init does to become node n: root filesystem, devices, names,
// sysctls, and at last the loss of privileges.
func BootProgram(n *topology.Node, s Setup) []wire.Step {
	p := program{}
	p.layers(n, s)
	if needsPivot(n, s) && !n.Privileged {
		p.unmasked()
	}
	p.devices(n)
	for _, kv := range s.IPC {
		p.sysctl(kv[0], kv[1])
	}
	p.kernelFiles(n, s)
	p.add(wire.OpEnter, "enter the root filesystem", nil, flag(needsPivot(n, s)))
	p.add(wire.OpHostname, "set the hostname "+n.Hostname, []string{n.Hostname})
	p.tmpfs(n)
	for _, d := range n.Dirs {
		p.add(wire.OpMkdirIn, "create "+d, []string{d})
	}
	p.sysctls(n, s.Sysctls)
	p.add(wire.OpCgroupNS, "create the cgroup namespace", nil)
	if len(n.Command) > 0 {
		p.add(wire.OpFindCommand, FindCommand, []string{n.Command[0], path(n.Env), n.Workdir, n.User})
	}
	p.add(wire.OpPrivileges, "drop privileges", []string{string(s.Filter)}, s.Caps, flag(n.NoNewPrivs))
	return p.steps
}

// FindCommand labels the step that looks for a node's command, which the user may have
// misspelt: its StepError's Text is the command.
const FindCommand = "find the command"

// PostProgram is what a node init does when the node's links are there: the sysctls that
// name an interface.
func PostProgram(n *topology.Node) []wire.Step {
	p := program{}
	for _, k := range SysctlOrder(n.Sysctls) {
		if perInterface(k) {
			p.sysctl(k, n.Sysctls[k])
		}
	}
	return p.steps
}

// needsPivot tells whether a node could take mounts off again. See wire.OpEnter.
func needsPivot(n *topology.Node, s Setup) bool {
	return n.Privileged || s.Caps&(1<<unix.CAP_SYS_ADMIN) != 0
}

type program struct{ steps []wire.Step }

func (p *program) add(op wire.Op, label string, text []string, numbers ...uint64) {
	p.steps = append(p.steps, wire.Step{Op: op, Label: label, Text: text, Number: numbers})
}

func (p *program) mkdir(path string, mode uint64) {
	p.add(wire.OpMkdir, "create "+path, []string{path}, mode)
}

// mount mounts on a directory or file of the root before it is entered. All of those are
// the common layer's own, so no image decides where such a mount goes.
func (p *program) mount(source, path, kind string, flags uint64, data string) {
	p.add(wire.OpMount, "mount /"+path, []string{source, root + "/" + path, kind, data}, flags)
}

// TryPost is PostProgram for a node that has no links yet and is made to be tried: what a value is refused for, it is refused for as the default
// of new interfaces, too.
func TryPost(n *topology.Node) []wire.Step {
	p := program{}
	for _, k := range SysctlOrder(n.Sysctls) {
		if perInterface(k) {
			part := strings.Split(SysctlPath(k), "/")
			part[3] = "default"
			p.add(wire.OpSysctl, "set sysctl "+k, []string{strings.Join(part, "/"), n.Sysctls[k]})
		}
	}
	return p.steps
}

func (p *program) sysctl(key, value string) {
	p.add(wire.OpSysctl, "set sysctl "+key, []string{SysctlPath(key), value})
}

func (p *program) layers(n *topology.Node, s Setup) {
	p.add(wire.OpMount, "mount the writable layer", []string{"nsnet", Work, "tmpfs", "mode=0755,size=" + s.MaxSize}, unix.MS_NOSUID|unix.MS_NODEV)
	if s.Assembled {
		p.mkdir(root, 0o755)
		p.mkdir(Work+"/shm", 0o1777)
		p.add(wire.OpAttach, "attach the root filesystem", []string{root}, MountCommon)
		p.add(wire.OpRoot, "open the root filesystem", []string{root})
		return
	}
	for _, d := range []string{"common", "image", "upper", "upper/etc", "work", "root"} {
		p.mkdir(Work+"/"+d, 0o755)
	}
	keep, own := Work, ""
	if s.Kept {
		// The node's own files are as old as the lab and not kept: a layer below.
		keep, own = Work+"/keep", Work+"/upper:"
		p.mkdir(keep, 0o755)
		p.add(wire.OpAttach, "attach the writable layer", []string{keep}, uint64(s.Mounts()-1))
	}
	options := "userxattr"
	if s.Kept && s.Tried {
		// With an index the kernel refuses a layer that another overlay writes to.
		keep, own, options = Work, keep+"/upper:", options+",index=off"
	}
	p.mkdir(Work+"/shm", 0o1777)
	// Straight into the upper layer.
	if hasTun(n) {
		p.mkdir(Work+"/upper/dev", 0o755)
		p.mkdir(Work+"/upper/dev/net", 0o755)
	}
	for _, f := range Files(n, s.Hosts, s.Resolv) {
		p.add(wire.OpWrite, "write /"+f.Path, []string{Work + "/upper/" + f.Path, string(f.Content)}, 0o644)
	}
	p.add(wire.OpAttach, "attach the common layer", []string{Work + "/common"}, MountCommon)
	// Short names: the options of all layers together have to fit in a page.
	next := uint64(MountImage)
	attach := func(label, dir string) {
		p.add(wire.OpAttach, label, []string{dir}, next)
		next++
	}
	above := ""
	for i := range s.Above {
		dir := fmt.Sprintf("%s/a%d", Work, i)
		p.mkdir(dir, 0o755)
		attach("attach a layer", dir)
		above += dir + ":"
	}
	image := Work + "/image"
	attach("attach the image", image)
	for i := 1; i < s.Layers; i++ {
		dir := fmt.Sprintf("%s/l%d", Work, i)
		p.mkdir(dir, 0o755)
		attach("attach the image", dir)
		image += ":" + dir
	}
	if IsWeak(n) {
		p.mkdir(Work+"/weak", 0o755)
		p.add(wire.OpOverlayWeak, "mount the host's root", []string{Work + "/weak", "lowerdir=" + image + ":" + Empty + ",userxattr"})
		image = Work + "/weak"
	} else if s.Apart {
		p.mkdir(Work+"/apart", 0o755)
		p.add(wire.OpMount, "mount the image", []string{"overlay", Work + "/apart", "overlay", "lowerdir=" + image + ":" + Empty + ",userxattr"}, unix.MS_RDONLY)
		image = Work + "/apart"
	}
	p.add(wire.OpMount, "mount the root filesystem", []string{"overlay", root, "overlay",
		fmt.Sprintf("lowerdir=%s%s/common:%s%s,upperdir=%s/upper,workdir=%s/work,%s", own, Work, above, image, keep, keep, options)}, 0)
	p.add(wire.OpKeep, "open the writable layer", []string{keep + "/upper"})
	p.add(wire.OpRoot, "open the root filesystem", []string{root})
}

// IsWeak tells whether a node sees its image through an overlay without privilege over files.
func IsWeak(n *topology.Node) bool { return n.Image.Kind == topology.ImageHost && !n.Privileged }

// File is a file of a node's own.
type File struct {
	Path    string // from the root, without a slash in front
	Content []byte
}

// Files are a node's own files, of mode 0644. They hide the image's, whatever those are. Hosts and
// resolv are those of Setup.
func Files(n *topology.Node, hosts, resolv []byte) []File {
	files := []File{{"etc/hostname", []byte(n.Hostname + "\n")}}
	if hosts != nil {
		files = append(files, File{"etc/hosts", hosts})
	}
	if resolv != nil {
		files = append(files, File{"etc/resolv.conf", resolv})
	}
	if hasTun(n) {
		files = append(files, File{"dev/net/tun", nil}) // a mount point
	}
	return files
}

func hasTun(n *topology.Node) bool { return n.Tun || n.Privileged }

// DeviceNodes are the device nodes of every node; net/tun comes on request.
func DeviceNodes() []string { return []string{"null", "zero", "full", "random", "urandom", "tty"} }

// CommonDirs are the directories that a common layer needs for the mounts of every node,
// parents first, and whether each hides what the image has there.
func CommonDirs() map[string]bool {
	return map[string]bool{"dev": true, "proc": true, "sys": true, "etc": false, "dev/pts": false, "dev/shm": false, "dev/mqueue": false}
}

// CommonLinks are the symbolic links of a common layer, by name.
func CommonLinks() map[string]string {
	return map[string]string{"dev/fd": "/proc/self/fd", "dev/stdin": "/proc/self/fd/0", "dev/stdout": "/proc/self/fd/1",
		"dev/stderr": "/proc/self/fd/2", "dev/ptmx": "pts/ptmx"}
}

func (p *program) devices(n *topology.Node) {
	nodes := DeviceNodes()
	if hasTun(n) {
		nodes = append(nodes, "net/tun")
	}
	for _, d := range nodes {
		p.mount(Devices+"/"+d, "dev/"+d, "", unix.MS_BIND, "")
	}
	// All nodes and the host share kernel.pty.max: none may have all of them.
	p.mount("devpts", "dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5,max=1024")
	p.mount("mqueue", "dev/mqueue", "mqueue", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, "")
	p.mount(Work+"/shm", "dev/shm", "", unix.MS_BIND, "")
}

func (p *program) kernelFiles(n *topology.Node, s Setup) {
	const flags = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	p.mount("proc", "proc", "proc", flags, "")
	p.mount("sysfs", "sys", "sysfs", flags, "")
	if n.Privileged {
		return
	}
	// Of all sysctls only those of the network are the node's to change: it needs these as a router, and of the others some belong to its
	// IPC and pid namespaces and bound what it takes of the host's memory.
	p.mount(root+"/proc/sys", "proc/sys", "", unix.MS_BIND, "")
	p.mount(root+"/proc/sys/net", "proc/sys/net", "", unix.MS_BIND, "")
	p.add(wire.OpMount, "make /proc/sys read-only", []string{"", root + "/proc/sys"}, unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|flags)
	for _, m := range s.Masks {
		source := Devices + "/null"
		if maskedDir(m) {
			source = Empty
		}
		p.add(wire.OpMount, "mask /"+m, []string{source, root + "/" + m}, unix.MS_BIND)
	}
}

// unmasked mounts a proc and a sysfs that nothing covers, below the place where devpts comes and hides them. In a user namespace
// the kernel mounts one of these only where another of its kind is seen whole in the same mount namespace (mount_too_revealing in
// fs/namespace.c). Without, "ip netns exec", which takes /sys away before it mounts another, would fail in a node that may mount, and
// in user namespaces inside of it the masks of /proc and /sys, which cannot be taken away there, would stand against both.
func (p *program) unmasked() {
	const flags = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	p.mount("nsnet", "dev/pts", "tmpfs", flags, "mode=0700,size=4k")
	for _, kind := range []string{"proc", "sysfs"} {
		at := "dev/pts/" + kind
		p.mkdir(root+"/"+at, 0o700)
		p.mount(kind, at, kind, flags, "")
	}
}

// TmpfsSize is how much memory what is written to a tmpfs may take, as tmpfs(5) has it. What no file says is half of what the kernel gives:
// nothing gets memory back from files, so that of two nodes that fill theirs the host would have none left.
func TmpfsSize(bytes int64) string {
	if bytes <= 0 {
		return "25%"
	}
	return strconv.FormatInt(bytes, 10)
}

// maskedDir tells which of MaskedPaths are directories.
func maskedDir(m string) bool {
	switch m {
	case "proc/acpi", "proc/asound", "proc/scsi":
		return true
	}
	return strings.HasPrefix(m, "sys/")
}

func (p *program) tmpfs(n *topology.Node) {
	for _, t := range n.Tmpfs {
		p.add(wire.OpTmpfsIn, "mount tmpfs "+t.Target, []string{t.Target, fmt.Sprintf("mode=%o,size=%s", t.Mode, TmpfsSize(t.Size))})
	}
}

// Mounts is how many mounts a node gets before its unions and binds: of a kept writable layer the
// last of them is.
func (s Setup) Mounts() int {
	if s.Assembled {
		return MountImage
	}
	n := MountImage + s.Above + max(s.Layers, 1)
	if s.Kept {
		n++
	}
	return n
}

// Binds adds the steps that show unions, and the host's files and directories in the node; dirs tells
// which sources are directories. They come after the root is entered and its tmpfs are
// there, in which a union may be, and in that a bind.
func Binds(steps []wire.Step, n *topology.Node, s Setup, dirs []bool) []wire.Step {
	var add []wire.Step
	for i := range n.Unions {
		add = append(add, wire.Step{Op: wire.OpAttachIn, Label: "attach the union " + n.Unions[i].Path,
			Text: []string{n.Unions[i].Path}, Number: []uint64{uint64(s.Mounts() + i), 1}})
	}
	first := s.Mounts() + len(n.Unions)
	for i, b := range n.Binds {
		add = append(add, wire.Step{Op: wire.OpAttachIn, Label: "bind " + b.Source + " to " + b.Target,
			Text: []string{b.Target}, Number: []uint64{uint64(first + i), flag(dirs[i])}})
	}
	in := slices.IndexFunc(steps, func(s wire.Step) bool { return s.Op == wire.OpEnter })
	at := in + slices.IndexFunc(steps[in:], func(s wire.Step) bool { return s.Op == wire.OpSysctl || s.Op == wire.OpCgroupNS })
	return slices.Insert(slices.Clone(steps), at, add...)
}

// DefaultSysctls are the sysctls of a node before the file's own. A new network namespace
// copies some of them from the host, so each is set where it is not so already.
func DefaultSysctls() [][2]string {
	return [][2]string{
		{"net.ipv4.ip_forward", "0"},
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
		{"net.ipv4.ip_unprivileged_port_start", "0"},
		{"net.ipv4.ping_group_range", "0\t65535"}, // ids outside the node's map are refused here
		{"net.ipv6.conf.all.forwarding", "0"},
		// As the kernel has them of itself. The lab's own interfaces have others, see wiring.InterfaceSysctls.
		{"net.ipv6.conf.all.disable_ipv6", "0"},
		{"net.ipv6.conf.default.disable_ipv6", "0"},
		{"net.ipv6.conf.lo.disable_ipv6", "0"},
		{"net.ipv6.conf.default.accept_dad", "1"},
		{"net.ipv6.conf.default.accept_ra", "1"},
		{"net.ipv6.conf.default.addr_gen_mode", "0"},
	}
}

// sysctls sets those of the network: the defaults that are not so already, then what the file says.
func (p *program) sysctls(n *topology.Node, defaults [][2]string) {
	for _, kv := range defaults {
		p.sysctl(kv[0], kv[1])
	}
	for _, k := range SysctlOrder(n.Sysctls) {
		if !perInterface(k) && !OfIPC(k) {
			p.sysctl(k, n.Sysctls[k])
		}
	}
}

// SysctlOrder is the order in which sysctls are set: what is for all interfaces changes what is for new ones and for each, as
// ip_forward does, so that these come after it.
func SysctlOrder(all map[string]string) []string {
	rank := func(key string) int {
		switch {
		case perInterface(key):
			return 2
		case strings.Contains(SysctlPath(key), "/default/"):
			return 1
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
}

// perInterface tells whether a sysctl names an interface, which is there only after the
// links are made: net.ipv4.conf.eth0.rp_filter.
func perInterface(key string) bool {
	part := strings.Split(SysctlPath(key), "/")
	if len(part) < 5 || part[0] != "net" || (part[2] != "conf" && part[2] != "neigh") {
		return false
	}
	return part[3] != "all" && part[3] != "default"
}

// SysctlPath turns a sysctl's name into its path below /proc/sys. As sysctl(8) has it,
// slashes keep dots, and in a name with dots a slash stands for a dot of an interface. The dots of an interface in
// net.ipv4.conf.eth0.10.rp_filter stay dots, too.
func SysctlPath(key string) string {
	if part := strings.Split(key, "."); len(part) > 5 && part[0] == "net" && (part[2] == "conf" || part[2] == "neigh") && !strings.Contains(key, "/") {
		return strings.Join(part[:3], "/") + "/" + strings.Join(part[3:len(part)-1], ".") + "/" + part[len(part)-1]
	}
	dot, slash := strings.IndexByte(key, '.'), strings.IndexByte(key, '/')
	if dot < 0 || (slash >= 0 && slash < dot) {
		return key
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
}

// path is the PATH that a node's env gives.
func path(env []string) string {
	for _, e := range slices.Backward(env) {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return v
		}
	}
	return DefaultPath
}

// Environ is the environment of a node's commands: defaults, the node's env, then extra.
func Environ(n *topology.Node, extra []string) []string {
	env := []string{"PATH=" + DefaultPath, "HOSTNAME=" + n.Hostname}
	for _, e := range append(slices.Clone(n.Env), extra...) {
		k, _, _ := strings.Cut(e, "=")
		env = slices.DeleteFunc(env, func(o string) bool { return strings.HasPrefix(o, k+"=") })
		env = append(env, e)
	}
	return env
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
