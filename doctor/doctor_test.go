package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/cgroups"
	"github.com/nsnet/nsnet/internal/testenv"
)

// The tests switch threads to other namespaces: none of them may be the main thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// healthy is a machine on which nothing is wrong, with its files.
func healthy(t *testing.T) (Machine, map[string]string) {
	t.Helper()
	files := map[string]string{
		"proc/self/uid_map": "0 0 4294967295\n", "dev/net/tun": "",
		"proc/sys/net/ipv4/neigh/default/gc_thresh3": "16384", "proc/sys/net/ipv6/neigh/default/gc_thresh3": "16384",
		"proc/sys/fs/inotify/max_user_instances": "8192", "proc/sys/kernel/pid_max": "4194304", "proc/sys/kernel/pty/max": "4096",
		"proc/sys/net/bridge/bridge-nf-call-iptables": "0", "proc/sys/net/ipv6/conf/default/disable_ipv6": "0",
	}
	for _, kind := range []string{"user", "pid", "net", "mnt", "uts", "ipc", "cgroup"} {
		files["proc/sys/user/max_"+kind+"_namespaces"] = "96365"
	}
	m := Machine{
		Lab: func(context.Context) error { return nil },
		Cgroups: func() (cgroups.Version, []string, error) {
			return cgroups.V2, []string{"cpu", "io", "memory", "pids"}, nil
		},
		Firewall: func() (int, []string, error) { return 0, nil, nil },
		Trials:   []Trial{},
	}
	return m, files
}

func examine(t *testing.T, m Machine, files map[string]string) []Finding {
	t.Helper()
	m.Root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(m.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// An ordinary user cannot make the namespace for trials, of which there are none.
	return slices.DeleteFunc(Examine(t.Context(), m), func(f Finding) bool { return f.Check == "kernel" })
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	m, files := healthy(t)
	for _, f := range examine(t, m, files) {
		if f.Status != Good || f.Remedy != "" || f.Fix != "" {
			t.Errorf("%+v", f)
		}
	}
}

// Each misconfiguration is found, as what it is, and nothing else with it; the fix is the exact
// command where there is one.
func TestFault12_19_20_Misconfigured(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file, text  string // planted; text "-": the file is removed
		change      func(*Machine)
		check       string
		status      Status
		detail, fix string
	}{
		"not root":             {change: func(m *Machine) { m.UID = 1000 }, check: "root", status: Problem, detail: "user 1000", fix: "sudo nsnet doctor"},
		"root of a container":  {file: "proc/self/uid_map", text: "0 100000 65536\n", check: "root", status: Problem, detail: "user namespace"},
		"no user namespaces":   {file: "proc/sys/user/max_user_namespaces", text: "-", check: "namespaces", status: Problem, detail: "no user namespaces"},
		"namespaces forbidden": {file: "proc/sys/user/max_net_namespaces", text: "0", check: "namespaces", status: Problem, detail: "user.max_net_namespaces is 0", fix: "sysctl -w user.max_net_namespaces=65536"},
		"few namespaces":       {file: "proc/sys/user/max_mnt_namespaces", text: "50", check: "namespaces", status: Note, detail: "user.max_mnt_namespaces is 50", fix: "sysctl -w user.max_mnt_namespaces=65536"},
		"no lab":               {change: func(m *Machine) { m.Lab = func(context.Context) error { return errors.New("it is haunted") } }, check: "lab", status: Problem, detail: "haunted"},
		"no cgroups": {change: func(m *Machine) {
			m.Cgroups = func() (cgroups.Version, []string, error) { return cgroups.None, nil, nil }
		}, check: "cgroups", status: Note, detail: "no control groups", fix: "mount -t cgroup2 none /sys/fs/cgroup"},
		"no delegation": {change: func(m *Machine) {
			m.Cgroups = func() (cgroups.Version, []string, error) { return cgroups.V2, []string{"memory"}, nil }
		}, check: "cgroups", status: Note, detail: "cpu, pids", fix: "echo +cpu +pids >/sys/fs/cgroup/cgroup.subtree_control"},
		"cgroups unreadable": {change: func(m *Machine) {
			m.Cgroups = func() (cgroups.Version, []string, error) { return cgroups.None, nil, errors.New("no proc") }
		}, check: "cgroups", status: Note, detail: "no proc"},
		"neighbour table": {file: "proc/sys/net/ipv4/neigh/default/gc_thresh3", text: "1024", check: "neighbours", status: Note, detail: "1024 neighbours", fix: "sysctl -w net.ipv4.neigh.default.gc_thresh3=16384"},
		"inotify":         {file: "proc/sys/fs/inotify/max_user_instances", text: "128", check: "inotify", status: Note, detail: "128 instances", fix: "sysctl -w fs.inotify.max_user_instances=2048"},
		"few processes":   {file: "proc/sys/kernel/pid_max", text: "32768", check: "processes", status: Note, detail: "32768", fix: "sysctl -w kernel.pid_max=262144"},
		"few terminals":   {file: "proc/sys/kernel/pty/max", text: "100", check: "terminals", status: Note, detail: "100 terminals", fix: "sysctl -w kernel.pty.max=4096"},
		"firewall that nobody opens": {change: func(m *Machine) {
			m.Firewall = func() (int, []string, error) { return 0, []string{"the chain drops"}, nil }
		}, check: "firewall", status: Note, detail: "the chain drops"},
		"firewall unreadable": {change: func(m *Machine) {
			m.Firewall = func() (int, []string, error) { return 0, nil, errors.New("no netlink") }
		}, check: "firewall", status: Note, detail: "no netlink"},
		"bridges through the firewall": {file: "proc/sys/net/bridge/bridge-nf-call-iptables", text: "1", check: "br_netfilter", status: Note, detail: "labs are not concerned", fix: "sysctl -w net.bridge.bridge-nf-call-iptables=0"},
		"no IPv6":                      {file: "proc/sys/net/ipv6/conf/default/disable_ipv6", text: "-", check: "ipv6", status: Note, detail: "no lab can have IPv6 addresses"},
		"no tun":                       {file: "dev/net/tun", text: "-", check: "tun", status: Note, detail: "no /dev/net/tun", fix: "modprobe tun"},
	} {
		m, files := healthy(t)
		if tc.file != "" && tc.text == "-" {
			delete(files, tc.file)
		} else if tc.file != "" {
			files[tc.file] = tc.text
		}
		if tc.change != nil {
			tc.change(&m)
		}
		found := slices.DeleteFunc(examine(t, m, files), func(f Finding) bool { return f.Status == Good })
		if m.UID != 0 { // then the rest cannot be tried, and says so
			found = slices.DeleteFunc(found, func(f Finding) bool { return f.Check != "root" })
		}
		if len(found) != 1 {
			t.Errorf("%s: %+v", name, found)
			continue
		}
		if f := found[0]; f.Check != tc.check || f.Status != tc.status || !strings.Contains(f.Detail, tc.detail) || f.Fix != tc.fix {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Docker's drop is no trouble: up opens it.
func TestFault24_FirewallOfDocker(t *testing.T) {
	t.Parallel()
	m, files := healthy(t)
	m.Firewall = func() (int, []string, error) { return 2, nil, nil }
	all := examine(t, m, files)
	if i := slices.IndexFunc(all, func(f Finding) bool { return f.Check == "firewall" }); i < 0 || all[i].Status != Good || !strings.Contains(all[i].Detail, "up adds rules") {
		t.Errorf("%+v", all)
	}
}

// What the kernel has and has not is told by trying, in a namespace of its own.
func TestFault12_Trials(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		m := Machine{Trials: []Trial{
			{Name: "there", Try: func() error { return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "trial"}}) }},
			{Name: "missing", For: "some", Option: "NET_SOME", Try: func() error { return unix.EOPNOTSUPP }},
			{Name: "needed", Needed: true, For: "all", Option: "NET_ALL", Try: func() error { return unix.EOPNOTSUPP }},
		}}
		found := m.features()
		if len(found) != 3 || found[0].Status != Good || found[1].Status != Note || found[2].Status != Problem || !strings.Contains(found[2].Remedy, "NET_ALL") {
			t.Errorf("%+v", found)
		}
		if _, err := netlink.LinkByName("trial"); err == nil {
			t.Error("a trial's link is here")
		}
		// The real ones: none fails for a reason of its own making.
		m.Trials = nil
		found = m.features()
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Check == "kernel: IPsec" }) {
			t.Error("whether nodes can have IPsec is not told")
		}
		for _, f := range found {
			if f.Status == Problem {
				t.Errorf("%+v", f)
			}
			for _, wrong := range []string{"file exists", "invalid argument", "no such device", "Link not found", "permitted"} {
				if strings.Contains(f.Detail, wrong) {
					t.Errorf("the trial itself is wrong: %+v", f)
				}
			}
		}
	})
}
