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
	return []string{"loop", "bfq", "overlay", "fuse", "veth", "bridge", "macvlan", "dummy", "tun",
		"nf_tables", "nft_chain_nat", "nft_masq", "nft_ct", "nft_reject_inet"}
}

// limit is for one machine, on a host that is busy with other tests.
const limit = 6 * time.Minute

// contract are the tests of package cgroups that look at what happens to a process.
const contract = "^Test(CPUShareOfACore|WeightsShareAProcessor|CPUSet|MemoryIsKilled|MemorySwap|Pids|IO|ReadBPS|DiskErrors|WeightOfDisk|RestrictDevices|" +
	"Create.*|Failed.*|Add.*|RemoveFrozen)$"

func TestKernels(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	files := guestFiles(t)
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			boot(t, version, files, nil, scripts...)
		})
	}
}

// A controller that was in use does not change between the versions: each of these has a machine of its own.
func TestVersion1(t *testing.T) {
	files := guestFiles(t)
	for script, version := range map[string]string{"hybrid": "6.1", "mixed": "6.12"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			boot(t, version, files, nil, "testdata/v1/"+script+".sh")
		})
	}
}

// FAULTS 15, goal 9: the power is cut at acts of import and up, and the next boot finds nothing that it cannot read.
func TestFault15_PowerCut(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "mkfs.ext4")
	files := guestFiles(t)
	godown := filepath.Join(t.TempDir(), "godown")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", godown, "./testdata/godown")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build godown: %v\n%s", err, out)
	}
	files["/usr/bin/nsnet-failpoint"], files["/usr/bin/godown"] = testenv.FailpointBinary(t), godown
	boot(t, "6.12", files, []string{"mkfs.ext4"}, "testdata/power/cut.sh")
}

// FAULTS goal 6: labs that come and go leave nothing in the kernel. Only where nothing else happens can that be counted.
func TestCyclesLeaveNothingInTheKernel(t *testing.T) {
	t.Parallel()
	boot(t, "6.12", guestFiles(t), nil, "testdata/cycles/cycles.sh")
}

// guestFiles are what the scripts run, by the path in the guest.
func guestFiles(t *testing.T) map[string]string {
	t.Helper()
	testenv.Need(t, "qemu-system-x86_64", "busybox", "ip", "bridge", "go", "systemd", "systemctl", "unshare", "mergerfs")
	names := filepath.Join(t.TempDir(), "contract")
	if err := os.WriteFile(names, []byte(contract), 0o600); err != nil {
		t.Fatal(err)
	}
	how := filepath.Join(t.TempDir(), "faults")
	if err := os.WriteFile(how, []byte(os.Getenv("NSNET_FAULTS")), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"/usr/bin/nsnet": testenv.Binary(t), "/usr/share/contract": names, "/usr/share/faults": how,
		"/usr/bin/cgroups.test": testProgram(t, "../../cgroups"), "/usr/bin/lab.test": testProgram(t, "../../lab")}
}

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

// boot runs scripts on a kernel, each a test of its own. They have more programs of this machine than all need.
func boot(t *testing.T, version string, files map[string]string, more []string, scripts ...string) {
	t.Helper()
	k, err := vm.Find(version)
	if err != nil {
		testenv.Miss(t, err.Error())
	}
	most := limit
	if os.Getenv("NSNET_FAULTS") == "full" {
		most *= 5
	}
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	m := vm.Machine{
		Kernel:   k,
		Memory:   768, // the disk is a part of it
		Modules:  modules(),
		Programs: append([]string{"ip", "bridge", "systemd", "systemctl", "unshare", "mergerfs"}, more...),
		Files:    files,
		Scripts:  scripts,
	}
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
}
