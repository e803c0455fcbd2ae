package vm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/internal/vm"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// modules are those that nsnet needs of a kernel, and those that its tests use.
func modules() []string {
	return []string{"loop", "bfq", "overlay", "fuse", "veth", "bridge", "macvlan", "dummy", "tun", "vrf", "8021q",
		"nf_tables", "nft_chain_nat", "nft_masq", "nft_ct", "nft_connlimit", "nft_limit", "nft_fib_netdev", "nft_reject_inet"}
}

// limit is for one machine, on a host that is busy with other tests.
const limit = 9 * time.Minute

// contract are the tests of package cgroups that look at what happens to a process.
const contract = "^Test(CPUShareOfACore|WeightsShareAProcessor|CPUSet|MemoryIsKilled|MemorySwap|Pids|IO|ReadBPS|DiskErrors|WeightOfDisk|RestrictDevices|" +
	"HugePages|Lift|Peak|Partition|DiskUsage|UpdateSparesTheInit|" +
	"Create.*|Failed.*|Add.*|RemoveFrozen)$"

func TestKernels(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testenv.Need(t, "bridge", "systemd", "systemctl", "unshare", "mergerfs")
	files := contractFiles(t)
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := machine(t, version, scripts...)
			m.Programs = append(m.Programs, "bridge", "systemd", "systemctl", "unshare", "mergerfs")
			m.Files = files
			boot(t, m)
		})
	}
}

// A controller that was in use does not change between the versions: each of these has a machine of its own.
func TestVersion1(t *testing.T) {
	files := contractFiles(t)
	for script, version := range map[string]string{"hybrid": "6.1", "mixed": "6.12"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			m := machine(t, version, "testdata/v1/"+script+".sh")
			m.Files = files
			boot(t, m)
		})
	}
}

// IPv6 that the kernel has and does not give by itself is turned on for labs; where it has none, labs of IPv4 work.
func TestWithoutIPv6(t *testing.T) {
	for script, argument := range map[string]string{"off": "ipv6.disable_ipv6=1", "none": "ipv6.disable=1"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			m := machine(t, "6.12", "testdata/ipv6/"+script+".sh")
			m.Append, m.Files = argument, guestFiles(t)
			boot(t, m)
		})
	}
}

// FAULTS goal 6: labs that come and go leave nothing in the kernel. Only where nothing else happens can that be counted.
func TestCyclesLeaveNothingInTheKernel(t *testing.T) {
	t.Parallel()
	m := machine(t, "6.12", "testdata/cycles/cycles.sh")
	m.Files = guestFiles(t)
	boot(t, m)
}

// guestFiles are nsnet and how thoroughly it is to be tested, by the path in the guest.
func guestFiles(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"/usr/bin/nsnet": testenv.Binary(t), "/usr/share/faults": text(t, os.Getenv("NSNET_FAULTS"))}
}

// contractFiles has the tests of packages that are run in the guest as well.
func contractFiles(t *testing.T) map[string]string {
	t.Helper()
	files := guestFiles(t)
	files["/usr/share/contract"] = text(t, contract)
	files["/usr/bin/cgroups.test"], files["/usr/bin/lab.test"] = testProgram(t, "../../cgroups"), testProgram(t, "../../lab")
	return files
}

// text is a file that has it.
func text(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// full is what make faults asks for.
func full() bool { return os.Getenv("NSNET_FAULTS") == "full" }

// testProgram builds the tests of a package as a static program.
func testProgram(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(dir)+".test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, dir)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests of %s: %v\n%s", dir, err, out)
	}
	return program
}

// machine is one that has what nsnet needs of a kernel and runs these scripts.
func machine(t *testing.T, version string, scripts ...string) *vm.Machine {
	t.Helper()
	testenv.Need(t, "qemu-system-x86_64", "busybox", "ip", "go")
	k, err := vm.Find(version)
	if err != nil {
		testenv.Miss(t, err.Error())
	}
	return &vm.Machine{
		Kernel:   k,
		Memory:   768, // the guest's root is a part of it
		Modules:  modules(),
		Programs: []string{"ip"},
		Scripts:  scripts,
	}
}

// boot runs a machine, each of its scripts a test of its own.
func boot(t *testing.T, m *vm.Machine) []vm.Result {
	t.Helper()
	most := limit
	if full() {
		most *= 12 // a thousand labs that come and go
	}
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	results, console, err := m.Run(ctx)
	if err != nil {
		t.Errorf("%v\n%s", err, console)
	}
	for _, r := range results {
		t.Run(r.Name, func(t *testing.T) {
			t.Logf("ended %.1f s after the start", r.Uptime)
			for line := range strings.Lines(r.Output) {
				if strings.HasPrefix(line, "goal ") { // see internal/goals
					t.Log(strings.TrimSpace(line))
				}
			}
			if r.Code != 0 {
				t.Errorf("exit code %d\n%s", r.Code, r.Output)
			}
		})
	}
	return results
}
