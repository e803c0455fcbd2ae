package vm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
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

// contract builds a package's tests as a program.
func contract(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(dir)+".test")
	build := exec.Command("go", "test", "-c", "-o", program, dir)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests of %s: %v\n%s", dir, err, out)
	}
	return program
}

func TestKernels(t *testing.T) {
	testenv.Need(t, "qemu-system-x86_64", "busybox", "ip", "bridge", "go", "mergerfs")
	scripts, err := filepath.Glob("testdata/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	contracts, unions := contract(t, "../../cgroups"), contract(t, "../../lab")
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			k, err := vm.Find(version)
			if err != nil {
				testenv.Miss(t, err.Error())
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			m := vm.Machine{
				Kernel:   k,
				Modules:  modules(),
				Programs: []string{"ip", "bridge", "mergerfs"},
				Files:    map[string]string{"/usr/bin/nsnet": testenv.Binary(t), "/usr/bin/cgroups.test": contracts, "/usr/bin/lab.test": unions},
				Scripts:  scripts,
			}
			results, console, err := m.Run(ctx)
			if err != nil {
				t.Errorf("%v\n%s", err, console)
			}
			for _, r := range results {
				t.Run(r.Name, func(t *testing.T) {
					t.Logf("ended %.1f s after the start", r.Uptime)
					if r.Code != 0 {
						t.Errorf("exit code %d\n%s", r.Code, r.Output)
					}
				})
			}
		})
	}
}
