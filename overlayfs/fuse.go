package overlayfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Fuse is mergerfs, a FUSE file system with several writable branches, as aufs had them. What it has not:
//
//   - Copying up: a file that only a read-only branch has cannot be written (EROFS).
//   - Whiteouts: what only a read-only branch has cannot be removed (EROFS), and what a writable branch hid comes to light.
//   - Opaque directories.
//
// What is created goes to the first writable branch that has its directory, as with aufs's create=tdp. A file is written
// in the branch that it is seen in. Removing and renaming is done in all writable branches, as nothing could hide
// what is below; owner, mode, times and attributes are changed in the first.
type Fuse struct{}

// Name is "fuse".
func (Fuse) Name() string { return "fuse" }

// Check looks for mergerfs and FUSE.
func (Fuse) Check([]Branch) error {
	if _, err := exec.LookPath("mergerfs"); err != nil {
		return fmt.Errorf("%w: writable layers are mergerfs's, which is not installed: apt install mergerfs", errors.ErrUnsupported)
	}
	b, err := os.ReadFile("/proc/filesystems")
	if err == nil && !strings.Contains(string(b), "\tfuse\n") {
		return fmt.Errorf("%w: this kernel has no FUSE: CONFIG_FUSE_FS, module fuse", errors.ErrUnsupported)
	}
	return nil
}

// policies are mergerfs's options. minfreespace is 4 GiB if not given, below which nothing is created (ENOSPC). cache.files=partial is what makes shared writable mappings work; devino-hash gives the
// names of one file one inode number.
const policies = "allow_other,default_permissions,use_ino,inodecalc=devino-hash,cache.files=partial,dropcacheonclose=true," +
	"category.create=epff,category.action=epff,category.search=ff,func.unlink=epall,func.rmdir=epall,func.rename=epall,minfreespace=0,fsname=nsnet"

// control is a file that mergerfs puts into its mount and that nobody sees in a listing. Its extended attributes change how mergerfs works,
// for whoever owns it, the node's root.
const control = ".mergerfs"

// Mount starts mergerfs. Without a writable branch the union's own layer is the first.
func (f Fuse) Mount(s *Spec) (int, error) {
	program, err := exec.LookPath("mergerfs")
	if err != nil {
		return -1, f.Check(nil)
	}
	if err := s.jail(program); err != nil {
		return -1, fmt.Errorf("make a root for mergerfs: %w", err)
	}
	// The server has a copy of these mounts. Those here would be copied for each server that is started after it.
	defer unix.Unmount(s.Scratch, unix.MNT_DETACH) //nolint:errcheck // they are gone with this thread
	paths, err := s.branch(unix.MOUNT_ATTR_NOSYMFOLLOW)
	if err != nil {
		return -1, err
	}
	var branches []string
	writes := false
	for i, p := range paths {
		mode := "=RO"
		if s.Branches[i].Writable {
			mode, writes = "=RW", true
		}
		branches = append(branches, "/"+filepath.Base(p)+mode)
	}
	if !writes {
		if err := s.ownBranch(paths[0]); err != nil {
			return -1, err
		}
		branches = append([]string{"/own=RW"}, branches...)
	}
	if err := s.seal(); err != nil {
		return -1, err
	}
	return s.Server(s, Program{
		Argv: []string{jailProgram, "-o", policies, strings.Join(branches, ":"), jailUnion},
		Env:  []string{"PATH=" + filepath.Dir(jailHelper), "LD_LIBRARY_PATH=" + jailLibs},
		Hide: control, Cover: jailEmpty,
	})
}

// ownBranch puts the union's own layer into the server's root. The union has the owner and mode of its first branch.
func (s *Spec) ownBranch(first string) error {
	if err := s.inOwn("upper"); err != nil {
		return err
	}
	if err := copyRootAttributes(first, filepath.Join(s.Own, "upper"), s.Base); err != nil {
		return err
	}
	own := filepath.Join(s.Scratch, "own")
	if err := os.Mkdir(own, 0o755); err != nil {
		return err
	}
	fd, err := Clone(filepath.Join(s.Own, "upper"), unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSYMFOLLOW, -1, false)
	if err != nil {
		return err
	}
	return attach(fd, own)
}
