package engines

import (
	"context"
	"path/filepath"
)

// Podman starts podman's service, as root. Containers should have --network none: podman's own networks keep files
// on the machine. All control groups are below the one called parent, which must be its own.
func Podman(ctx context.Context, parent string) (*Engine, error) {
	dir, err := makeDir()
	if err != nil {
		return nil, err
	}
	e := &Engine{Name: "podman", Dir: dir, Socket: filepath.Join(dir, "podman.sock"), parent: parent, env: environment()}
	e.client = []string{
		"podman", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp"),
		"--network-config-dir", filepath.Join(dir, "net"), "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc",
	}
	e.daemon = append(append([]string(nil), e.client...), "system", "service", "--time", "0", "unix://"+e.Socket)
	e.run = []string{"--cgroup-parent", "/" + parent}
	return start(ctx, e, "/var/lib/containers")
}
