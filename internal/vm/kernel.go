package vm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Kernel is a kernel with its modules, as Debian's package has them.
type Kernel struct {
	Version string // "6.1"
	image   string // path of vmlinuz
	modules string // directory of the modules
}

// ErrMissing says that a kernel was not fetched.
var ErrMissing = errors.New("the kernel is not in the cache; scripts/fetch-kernels.sh fetches it")

// Find looks for a kernel in the cache that scripts/fetch-kernels.sh fills: NSNET_KERNELS, or
// nsnet/kernels in the user's cache directory.
func Find(version string) (Kernel, error) {
	dir := os.Getenv("NSNET_KERNELS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return Kernel{}, fmt.Errorf("find kernel %s: %w", version, err)
		}
		dir = filepath.Join(cache, "nsnet", "kernels")
	}
	dir = filepath.Join(dir, version)
	image, err := only(filepath.Join(dir, "boot", "vmlinuz-"+version+"*"))
	if err != nil {
		return Kernel{}, fmt.Errorf("find kernel %s in %s: %w", version, dir, err)
	}
	modules, err := only(filepath.Join(dir, "lib", "modules", version+"*"))
	if err != nil {
		return Kernel{}, fmt.Errorf("find the modules of kernel %s in %s: %w", version, dir, err)
	}
	return Kernel{Version: version, image: image, modules: modules}, nil
}

func only(pattern string) (string, error) {
	found, err := filepath.Glob(pattern)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", ErrMissing
	case len(found) > 1:
		return "", fmt.Errorf("more than one: %s; remove the directory and fetch it again", strings.Join(found, ", "))
	}
	return found[0], nil
}
