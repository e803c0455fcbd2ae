package container

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/container/wire"
	"github.com/nsnet/nsnet/topology"
)

// find returns the steps with this op, and the index of the first, -1 when there is none.
func find(steps []wire.Step, op wire.Op) ([]wire.Step, int) {
	var found []wire.Step
	for i := range steps {
		if steps[i].Op == op {
			found = append(found, steps[i])
		}
	}
	return found, slices.IndexFunc(steps, func(s wire.Step) bool { return s.Op == op })
}

// mountsOn returns the mount steps whose target is this path of the node.
func mountsOn(steps []wire.Step, path string) []wire.Step {
	var on []wire.Step
	for _, s := range steps {
		if s.Op == wire.OpMount && s.T(1) == root+path {
			on = append(on, s)
		}
	}
	return on
}

// written are the files that the program writes, by their path in the node.
func written(steps []wire.Step) map[string]string {
	files := map[string]string{}
	for _, s := range steps {
		if s.Op == wire.OpWrite {
			files[strings.TrimPrefix(s.T(0), Work+"/upper")] = s.T(1)
		}
	}
	return files
}

func TestBootProgram(t *testing.T) {
	t.Parallel()
	host, dir := topology.Image{Kind: topology.ImageHost}, topology.Image{Kind: topology.ImageDir, Path: "/images/a"}
	masks := MaskedPaths()
	for name, tc := range map[string]struct {
		node   topology.Node
		setup  Setup
		weak   bool // the host's root is looked at without privilege
		pivot  bool
		masked bool
		tun    bool
	}{
		"host":                {node: topology.Node{Image: host}, weak: true, masked: true},
		"dir":                 {node: topology.Node{Image: dir}, masked: true},
		"with SYS_ADMIN":      {node: topology.Node{Image: host}, setup: Setup{Caps: sysAdmin}, weak: true, pivot: true, masked: true},
		"with all others":     {node: topology.Node{Image: dir}, setup: Setup{Caps: ^sysAdmin}, masked: true},
		"privileged":          {node: topology.Node{Image: host, Privileged: true}, pivot: true, tun: true},
		"privileged, dir":     {node: topology.Node{Image: dir, Privileged: true}, pivot: true, tun: true},
		"tun":                 {node: topology.Node{Image: host, Tun: true}, weak: true, masked: true, tun: true},
		"without host's name": {node: topology.Node{Image: dir, Hostname: ""}, masked: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.setup.Masks = masks
			steps := BootProgram(&tc.node, tc.setup)

			weak, _ := find(steps, wire.OpOverlayWeak)
			if got := len(weak) == 1; got != tc.weak {
				t.Errorf("the image is looked at without privilege: %v", got)
			}
			over := mountsOn(steps, "")
			if len(over) != 1 || over[0].T(0) != "overlay" {
				t.Fatalf("mounts of the root: %+v", over)
			}
			lower := Work + "/common:" + Work + "/image"
			if tc.weak {
				lower = Work + "/common:" + Work + "/weak"
			}
			if !strings.HasPrefix(over[0].T(3), "lowerdir="+lower+",") {
				t.Errorf("the root's layers are %s, not over %s", over[0].T(3), lower)
			}
			enter, _ := find(steps, wire.OpEnter)
			if len(enter) != 1 || (enter[0].N(0) == 1) != tc.pivot {
				t.Errorf("the root is entered by %+v, want pivot %v", enter, tc.pivot)
			}
			for _, m := range masks {
				if got := len(mountsOn(steps, "/"+m)) == 1; got != tc.masked {
					t.Errorf("/%s is masked: %v", m, got)
				}
			}
			// Where the kernel asks for a whole proc and sysfs, they are there, and hidden by what is mounted over them.
			hidden, terminals := mountsOn(steps, "/dev/pts/sysfs"), mountsOn(steps, "/dev/pts")
			if asked := tc.pivot && tc.masked; (len(hidden) == 1) != asked || (len(terminals) == 2) != asked || terminals[len(terminals)-1].T(2) != "devpts" {
				t.Errorf("whole file systems of the kernel: %+v, hidden by %+v", hidden, terminals)
			}
			_, file := written(steps)["/dev/net/tun"]
			bound := mountsOn(steps, "/dev/net/tun")
			if file != tc.tun || (len(bound) == 1) != tc.tun {
				t.Errorf("/dev/net/tun: mount point %v, mounts %+v", file, bound)
			}
			for _, d := range DeviceNodes() {
				if b := mountsOn(steps, "/dev/"+d); len(b) != 1 || b[0].T(0) != Devices+"/"+d || b[0].N(0) != unix.MS_BIND {
					t.Errorf("/dev/%s is mounted by %+v", d, b)
				}
			}
		})
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	steps := BootProgram(&topology.Node{}, Setup{Masks: []string{"proc/kcore", "proc/acpi", "sys/firmware"}})
	for path, source := range map[string]string{"/proc/kcore": Devices + "/null", "/proc/acpi": Empty, "/sys/firmware": Empty} {
		if got := mountsOn(steps, path); len(got) != 1 || got[0].T(0) != source {
			t.Errorf("%s is masked by %+v, not %s", path, got, source)
		}
	}
	if got := mountsOn(steps, "/proc/keys"); got != nil {
		t.Errorf("a path that this kernel has not is masked: %+v", got)
	}
	// A mask below the file system that it belongs to would be covered by it.
	for _, fs := range []string{"/proc", "/sys"} {
		at := func(path string) int {
			return slices.IndexFunc(steps, func(s wire.Step) bool { return s.Op == wire.OpMount && s.T(1) == root+path })
		}
		for _, m := range []string{"/proc/kcore", "/sys/firmware"} {
			if strings.HasPrefix(m, fs) && at(m) < at(fs) {
				t.Errorf("%s is masked before %s is mounted", m, fs)
			}
		}
	}
}

// A root that comes assembled is attached; what is in it is somebody else's business, and all
// that is mounted in it is not.
func TestAssembledRoot(t *testing.T) {
	t.Parallel()
	n := topology.Node{Image: topology.Image{Kind: topology.ImageHost}, Tun: true}
	steps := BootProgram(&n, Setup{Assembled: true, Hosts: []byte("x")})
	if at, _ := find(steps, wire.OpAttach); len(at) != 1 || at[0].T(0) != Work+"/root" || at[0].N(0) != MountCommon {
		t.Errorf("attached: %+v", at)
	}
	if weak, _ := find(steps, wire.OpOverlayWeak); weak != nil || len(mountsOn(steps, "")) != 0 {
		t.Errorf("an overlay is mounted: %+v, %+v", weak, mountsOn(steps, ""))
	}
	if files := written(steps); len(files) != 0 {
		t.Errorf("written: %q", files)
	}
	behind := func(steps []wire.Step) []wire.Step {
		_, at := find(steps, wire.OpRoot)
		return steps[at:]
	}
	if diff := cmp.Diff(behind(BootProgram(&n, Setup{Hosts: []byte("x")})), behind(steps)); diff != "" {
		t.Errorf("with the root open (-usual +assembled):\n%s", diff)
	}
}

func TestBootFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		setup Setup
		want  map[string]string
	}{
		"the common layer's": {Setup{}, map[string]string{"/etc/hostname": "web.lab\n"}},
		"its own": {Setup{Resolv: []byte("nameserver 192.0.2.1\n"), Hosts: []byte("192.0.2.2 a\n")}, map[string]string{
			"/etc/hostname": "web.lab\n", "/etc/resolv.conf": "nameserver 192.0.2.1\n", "/etc/hosts": "192.0.2.2 a\n"}},
		"empty": {Setup{Resolv: []byte{}}, map[string]string{"/etc/hostname": "web.lab\n", "/etc/resolv.conf": ""}},
	} {
		steps := BootProgram(&topology.Node{Hostname: "web.lab"}, tc.setup)
		if diff := cmp.Diff(tc.want, written(steps)); diff != "" {
			t.Errorf("%s: files (-want +got):\n%s", name, diff)
		}
		if h, _ := find(steps, wire.OpHostname); len(h) != 1 || h[0].T(0) != "web.lab" {
			t.Errorf("%s: host name by %+v", name, h)
		}
	}
}

func TestBootCommand(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		node topology.Node
		want []string
	}{
		"idle":       {topology.Node{}, nil},
		"by name":    {topology.Node{Command: []string{"nginx", "-g", "daemon off;"}}, []string{"nginx", DefaultPath, "", ""}},
		"own PATH":   {topology.Node{Command: []string{"x"}, Env: []string{"PATH=/a", "A=1", "PATH=/b"}}, []string{"x", "/b", "", ""}},
		"in workdir": {topology.Node{Command: []string{"./run"}, Workdir: "/srv", User: "www-data"}, []string{"./run", DefaultPath, "/srv", "www-data"}},
	} {
		found, _ := find(BootProgram(&tc.node, Setup{}), wire.OpFindCommand)
		var got []string
		if len(found) > 0 {
			got = found[0].Text
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: the command is looked for as %q, not %q", name, got, tc.want)
		}
	}
}

func TestTmpfs(t *testing.T) {
	t.Parallel()
	n := topology.Node{Tmpfs: []topology.Tmpfs{{Target: "/a", Mode: 0o1777}, {Target: "/b/c", Mode: 0o750, Size: 1 << 20}}}
	got, at := find(BootProgram(&n, Setup{}), wire.OpTmpfsIn)
	if len(got) != 2 || !slices.Equal(got[0].Text, []string{"/a", "mode=1777,size=25%"}) || !slices.Equal(got[1].Text, []string{"/b/c", "mode=750,size=1048576"}) {
		t.Errorf("got %+v", got)
	}
	if _, enter := find(BootProgram(&n, Setup{}), wire.OpEnter); at < enter {
		t.Error("a tmpfs is mounted before the root is entered: it would go where the image's links lead")
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]string{0: "mode=0755,size=25%", 65536: "mode=0755,size=65536"} {
		if steps := BootProgram(&topology.Node{}, Setup{MaxSize: TmpfsSize(size)}); steps[0].T(3) != want || steps[0].T(1) != Work {
			t.Errorf("size %d: %+v", size, steps[0])
		}
	}
}

// The order that every node's safety hangs on, whatever the node.
func TestOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := anyNode().Draw(t, "node")
		setup := Setup{
			Caps: rapid.Uint64().Draw(t, "caps"), Filter: []byte("filter"),
			Layers: rapid.IntRange(0, 3).Draw(t, "layers"),
			Masks:  rapid.SliceOfDistinct(rapid.SampledFrom(MaskedPaths()), rapid.ID[string]).Draw(t, "masks"), Sysctls: DefaultSysctls(),
		}
		dirs := rapid.SliceOfN(rapid.Bool(), len(n.Binds), len(n.Binds)).Draw(t, "dirs")
		before := BootProgram(&n, setup)
		plain := slices.Clone(before)
		steps := Binds(before, &n, setup, dirs)
		if diff := cmp.Diff(plain, before); diff != "" {
			t.Fatalf("Binds changed its argument:\n%s", diff)
		}

		last := steps[len(steps)-1]
		if all, _ := find(steps, wire.OpPrivileges); len(all) != 1 || last.Op != wire.OpPrivileges {
			t.Fatalf("privileges are dropped %d times, and the last step is %q", len(all), last.Label)
		}
		if last.N(0) != setup.Caps || (last.N(1) == 1) != n.NoNewPrivs || last.T(0) != "filter" {
			t.Fatalf("privileges are dropped by %+v", last)
		}
		_, opened := find(steps, wire.OpRoot)
		_, enter := find(steps, wire.OpEnter)
		for i, s := range steps {
			switch s.Op {
			case wire.OpAttachIn, wire.OpTmpfsIn, wire.OpMkdirIn, wire.OpSysctl, wire.OpFindCommand, wire.OpHostname:
				if i < enter {
					t.Fatalf("%q comes before the root is entered", s.Label)
				}
			case wire.OpMount, wire.OpAttach, wire.OpOverlayWeak, wire.OpWrite, wire.OpMkdir:
				if i > enter {
					t.Fatalf("%q comes after the root is entered, by a path that the image decides", s.Label)
				}
			}
			if s.Label == "" {
				t.Fatalf("step %d has no words for an error", i)
			}
		}
		if opened < 0 || opened > enter {
			t.Fatalf("the root is opened at step %d and entered at %d", opened, enter)
		}
		binds, _ := find(steps, wire.OpAttachIn)
		if len(binds) != len(n.Binds) || len(steps) != len(before)+len(binds) {
			t.Fatalf("%d of %d binds, %d steps more", len(binds), len(n.Binds), len(steps)-len(before))
		}
		for i, b := range binds {
			if b.T(0) != n.Binds[i].Target || b.N(0) != uint64(setup.Mounts()+i) || (b.N(1) == 1) != dirs[i] {
				t.Fatalf("bind %d of %+v is %+v, directory %v", i, n.Binds[i], b, dirs[i])
			}
		}
		// The program, a tmpfs of the node included, is found where a bind covers it.
		if _, find1 := find(steps, wire.OpFindCommand); find1 >= 0 {
			if at := slices.IndexFunc(steps, func(s wire.Step) bool { return s.Op == wire.OpAttachIn }); at > find1 {
				t.Fatal("the command is looked for before the binds are there")
			}
		}
	})
}

func TestSysctls(t *testing.T) {
	t.Parallel()
	n := topology.Node{Sysctls: map[string]string{
		"net.ipv4.ip_forward":               "1",
		"net.ipv4.conf.all.rp_filter":       "2",
		"net.ipv6.conf.default.accept_ra":   "1",
		"net.ipv4.conf.default.forwarding":  "0",
		"net.ipv4.conf.eth0.rp_filter":      "1",
		"net/ipv4/conf/eth0.100/proxy_arp":  "1",
		"net.ipv6.neigh.eth1.gc_stale_time": "5",
		"kernel.msgmax":                     "16384", // see IPCSysctls
	}}
	defaults := [][2]string{{"net.ipv4.ip_forward", "0"}, {"net.ipv4.conf.default.rp_filter", "0"}}
	list := func(steps []wire.Step) [][2]string {
		var out [][2]string
		for _, s := range steps {
			if s.Op == wire.OpSysctl {
				out = append(out, [2]string{s.T(0), s.T(1)})
			}
		}
		return out
	}
	// The file's come after the defaults, and win; what ip_forward changes comes after it.
	want := [][2]string{
		{"net/ipv4/ip_forward", "0"}, {"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv4/conf/all/rp_filter", "2"}, {"net/ipv4/ip_forward", "1"},
		{"net/ipv4/conf/default/forwarding", "0"}, {"net/ipv6/conf/default/accept_ra", "1"},
	}
	if diff := cmp.Diff(want, list(BootProgram(&n, Setup{Sysctls: defaults}))); diff != "" {
		t.Errorf("at boot (-want +got):\n%s", diff)
	}
	post := PostProgram(&n)
	want = [][2]string{{"net/ipv4/conf/eth0/rp_filter", "1"}, {"net/ipv6/neigh/eth1/gc_stale_time", "5"}, {"net/ipv4/conf/eth0.100/proxy_arp", "1"}}
	if diff := cmp.Diff(want, list(post)); diff != "" || len(post) != len(want) {
		t.Errorf("when the links are there, %d steps (-want +got):\n%s", len(post), diff)
	}
	try := TryPost(&n)
	want = [][2]string{{"net/ipv4/conf/default/rp_filter", "1"}, {"net/ipv6/neigh/default/gc_stale_time", "5"}, {"net/ipv4/conf/default/proxy_arp", "1"}}
	if diff := cmp.Diff(want, list(try)); diff != "" || try[2].Label != post[2].Label {
		t.Errorf("before there are links, as %q (-want +got):\n%s", try[2].Label, diff)
	}
	if post := PostProgram(&topology.Node{Sysctls: map[string]string{"net.ipv4.ip_forward": "1"}}); len(post) != 0 {
		t.Errorf("a node without sysctls of an interface: %+v", post)
	}
}

func TestSysctlPath(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":                        "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":                        "net/ipv4/ip_forward",
		"net.ipv4.conf.eth0.100.rp_filter":           "net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv4.conf.eth0/100.rp_filter":           "net/ipv4/conf/eth0.100/rp_filter",
		"net/ipv4/conf/eth0.100/rp_filter":           "net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv6.conf.a/b/c.forwarding":             "net/ipv6/conf/a.b.c/forwarding",
		"hostname":                                   "hostname",
		"kernel/msgmax":                              "kernel/msgmax",
		"net.ipv4.conf.default.rp_filter":            "net/ipv4/conf/default/rp_filter",
		"net.netfilter.nf_conntrack_max":             "net/netfilter/nf_conntrack_max",
		"net.ipv4.neigh.eth0.base_reachable_time_ms": "net/ipv4/neigh/eth0/base_reachable_time_ms",
	} {
		if got := SysctlPath(key); got != want {
			t.Errorf("%s is at %s, not %s", key, got, want)
		}
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	n := &topology.Node{Hostname: "web", Env: []string{"A=1", "B=2", "PATH=/node", "EMPTY=", "X=a=b"}}
	for name, tc := range map[string]struct {
		node  *topology.Node
		extra []string
		want  []string
	}{
		"defaults":        {&topology.Node{Hostname: "web"}, nil, []string{"PATH=" + DefaultPath, "HOSTNAME=web"}},
		"node":            {n, nil, []string{"HOSTNAME=web", "A=1", "B=2", "PATH=/node", "EMPTY=", "X=a=b"}},
		"extra":           {n, []string{"B=3", "HOSTNAME=h"}, []string{"A=1", "PATH=/node", "EMPTY=", "X=a=b", "B=3", "HOSTNAME=h"}},
		"later wins":      {n, []string{"B=3", "B=4"}, []string{"HOSTNAME=web", "A=1", "PATH=/node", "EMPTY=", "X=a=b", "B=4"}},
		"not by a prefix": {&topology.Node{Env: []string{"AB=1"}}, []string{"A=2"}, []string{"PATH=" + DefaultPath, "HOSTNAME=", "AB=1", "A=2"}},
	} {
		env := slices.Clone(tc.node.Env)
		if diff := cmp.Diff(tc.want, Environ(tc.node, tc.extra)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !slices.Equal(env, tc.node.Env) {
			t.Errorf("%s: the node's own env became %q", name, tc.node.Env)
		}
	}
}

// Each variable is there once, with the value that was set last.
func TestEnvironProperty(t *testing.T) {
	t.Parallel()
	assignment := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"PATH", "HOSTNAME", "A", "AB", "B"}).Draw(t, "key") + "=" + rapid.StringMatching(`[a-z=]{0,3}`).Draw(t, "value")
	})
	rapid.Check(t, func(t *rapid.T) {
		n := &topology.Node{Hostname: "h", Env: rapid.SliceOf(assignment).Draw(t, "env")}
		extra := rapid.SliceOf(assignment).Draw(t, "extra")
		want := map[string]string{"PATH": DefaultPath, "HOSTNAME": "h"}
		for _, e := range slices.Concat(n.Env, extra) {
			k, v, _ := strings.Cut(e, "=")
			want[k] = v
		}
		got := map[string]string{}
		env := Environ(n, extra)
		for _, e := range env {
			k, v, _ := strings.Cut(e, "=")
			got[k] = v
		}
		if !maps.Equal(got, want) || len(env) != len(want) {
			t.Fatalf("got %q, want %q", env, want)
		}
	})
}

// Every mount of a boot program that is made before the root is entered has its mount point in
// the common layer or is made by the program itself, whatever the image has there.
func TestMountPointsAreCommon(t *testing.T) {
	t.Parallel()
	n := topology.Node{Privileged: true}
	steps := BootProgram(&n, Setup{})
	files := written(steps)
	for _, s := range steps {
		path, below := strings.CutPrefix(s.T(1), root+"/")
		if s.Op != wire.OpMount || !below {
			continue
		}
		dev, isDev := strings.CutPrefix(path, "dev/")
		_, file := files["/"+path]
		if _, dir := CommonDirs()[path]; !dir && !file && (!isDev || !slices.Contains(DeviceNodes(), dev)) {
			t.Errorf("%s has no mount point of the common layer", path)
		}
	}
}

// anyNode is a node with all that a boot program depends on.
func anyNode() *rapid.Generator[topology.Node] {
	return rapid.Custom(func(t *rapid.T) topology.Node {
		path := rapid.StringMatching(`(/[a-z]{1,5}){1,3}`)
		n := topology.Node{
			Hostname:   rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "hostname"),
			Image:      topology.Image{Kind: rapid.SampledFrom([]topology.ImageKind{topology.ImageHost, topology.ImageDir}).Draw(t, "image")},
			Privileged: rapid.Bool().Draw(t, "privileged"), NoNewPrivs: rapid.Bool().Draw(t, "nnp"), Tun: rapid.Bool().Draw(t, "tun"),
			Command: rapid.SliceOfN(path, 0, 2).Draw(t, "command"),
			Sysctls: rapid.MapOf(rapid.SampledFrom([]string{"net.ipv4.ip_forward", "net.ipv4.conf.eth0.rp_filter", "kernel.msgmax"}), rapid.Just("1")).Draw(t, "sysctls"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "binds") {
			n.Binds = append(n.Binds, topology.Bind{Source: path.Draw(t, "source"), Target: path.Draw(t, "target")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "tmpfs") {
			n.Tmpfs = append(n.Tmpfs, topology.Tmpfs{Target: path.Draw(t, "target"), Mode: 0o1777})
		}
		return n
	})
}

// A node at the least limit of processes can run a command.
func TestMinPids(t *testing.T) {
	t.Parallel()
	if nodeinit.Threads+1 > topology.MinPids {
		t.Errorf("a node's init has %d threads where %d are allowed at least", nodeinit.Threads, topology.MinPids)
	}
}
