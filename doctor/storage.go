package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/overlayfs"
)

// storage tells which drivers of unions there are, and why not.
func (m *Machine) storage() []Finding {
	if m.UID != 0 {
		return []Finding{{Check: "storage", Status: Note, Detail: "which drivers of unions there are was not tried: it needs root"}}
	}
	var have []string
	var found []Finding
	for _, d := range overlayfs.Drivers() {
		err := d.Check(nil)
		if err == nil && d.Name() == (overlayfs.Overlay{}).Name() {
			err = tryOverlay()
		}
		if err != nil {
			found = append(found, Finding{Check: "storage: " + d.Name(), Status: Note, Detail: err.Error()})
			continue
		}
		have = append(have, d.Name())
	}
	return append([]Finding{{Check: "storage", Status: Good, Detail: "unions by " + strings.Join(have, ", ")}}, found...)
}

// tryOverlay mounts an overlay in a mount namespace that goes with its thread.
func tryOverlay() error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		result <- overlayOnTmpfs("/tmp")
	}()
	return <-result
}

func overlayOnTmpfs(at string) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("create a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("nsnet", at, "tmpfs", 0, ""); err != nil {
		return err
	}
	s := overlayfs.Spec{Own: filepath.Join(at, "own"), Scratch: filepath.Join(at, "scratch"), Userns: -1}
	for _, d := range []string{"layer", "own", "scratch"} {
		if err := os.Mkdir(filepath.Join(at, d), 0o755); err != nil {
			return err
		}
	}
	s.Branches = []overlayfs.Branch{{Path: filepath.Join(at, "layer")}}
	fd, err := overlayfs.Overlay{}.Mount(&s)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}
