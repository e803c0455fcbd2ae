package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// KeepDir is where nodes with persist: true have their writable layers:
//
//	LAB/lock           held by the lab's init for life, whatever /run it has
//	LAB/topology.json  the lab that ran last
//	LAB/origin.json    the file that it was of
//	LAB/NODE/mark      by which extended attribute the overlay knows opaque directories
//	LAB/NODE/root/     upper and work of the root
//	LAB/NODE/HASH/     of a union; the hash is of its path
//
// A node by the name of lock has a dot before it, as no name has; the other files have dots in theirs, as no node's name has.
//
// What is in there belongs to the ids that the node sees: it is mounted idmapped, so that the range of ids that the lab has
// this time does not matter. None but root may enter: there are set-user-id files of root.
const KeepDir = "/var/lib/nsnet/nodes"

// keptBy is the directory of a node in that of what its lab's nodes keep.
func keptBy(dir, node string) string {
	if node == lockFile {
		node = "." + node
	}
	return filepath.Join(dir, node)
}

// rootTree is the directory of a root's writable layer.
const rootTree = "root"

// unionTree is the directory of a union's.
func unionTree(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:8])
}

const markFile = "mark"

func (b *builder) persists() bool { return persists(b.lab) }

func persists(l *topology.Lab) bool {
	return slices.ContainsFunc(l.Nodes, func(n topology.Node) bool { return n.Writable.Persist })
}

// lockKept locks what the lab's nodes keep, without waiting: whoever has it is a lab that runs.
func lockKept(name string, create bool) (*os.File, error) {
	dir := filepath.Join(KeepDir, name)
	for {
		if create {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, &Error{Op: "create", Object: dir, Err: err}
			}
		}
		f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) && create {
			continue // a purge has just removed the directory
		}
		if err != nil {
			return nil, err
		}
		if err := lockfile.Try(f, lockfile.Exclusive); err != nil {
			f.Close()
			if errors.Is(err, lockfile.ErrHeld) {
				return nil, &Error{Object: dir, Err: fmt.Errorf("%w: what the nodes keep is in use by a lab of this name that runs", ErrConflict), Remedy: "take that one down, or give this one another name with --name"}
			}
			return nil, &Error{Op: "lock", Object: dir, Err: err}
		}
		if lockfile.Current(f) {
			return f, nil
		}
		f.Close()
	}
}

// openKept prepares the directories of nodes that keep what they write. The lock goes to the lab's init.
func (b *builder) openKept() error {
	if !b.persists() {
		return nil
	}
	dir := filepath.Join(KeepDir, b.lab.Name)
	_, err := os.Lstat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if b.kept, err = lockKept(b.lab.Name, true); err != nil {
		return err
	}
	b.keptFresh = fresh
	return b.prepareKept(b.lab.Nodes)
}

// prepareKept makes what these nodes keep their writable layers in. The lab holds the lock.
func (b *builder) prepareKept(nodes []topology.Node) error {
	dir := filepath.Join(KeepDir, b.lab.Name)
	if err := ownKept(b.lab); err != nil {
		return err
	}
	if err := failpoint.Hit("write kept", labFile); err != nil {
		return &Error{Op: "write", Object: filepath.Join(dir, labFile), Err: err}
	}
	if err := renameio.WriteFile(filepath.Join(dir, labFile), b.content, 0o600, renameio.WithTempDir(dir)); err != nil {
		return &Error{Op: "write", Object: filepath.Join(dir, labFile), Err: err}
	}
	mark := overlayfs.UserMark
	if b.mounts.assembles {
		mark = overlayfs.TrustedMark
	}
	for i := range nodes {
		n := &nodes[i]
		if !n.Writable.Persist {
			continue
		}
		if err := keepNode(keptBy(dir, n.Name), n, mark); err != nil {
			return &Error{Node: n.Name, Op: "prepare what it keeps", Err: err}
		}
	}
	return nil
}

// keepNode makes the directories of one node, unless they are there. What fails or is killed halfway is taken up the next time.
func keepNode(dir string, n *topology.Node, mark overlayfs.Mark) error {
	trees := []string{rootTree}
	for i := range n.Unions {
		if !n.Unions[i].Writes() {
			trees = append(trees, unionTree(n.Unions[i].Path))
		}
	}
	for _, t := range trees {
		for _, d := range []string{"upper", "work"} {
			if err := failpoint.Hit("mkdir kept", d); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Join(dir, t, d), 0o755); err != nil {
				return err
			}
		}
	}
	had, err := os.ReadFile(filepath.Join(dir, markFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := failpoint.Hit("mark kept", dir); err != nil {
			return err
		}
		return renameio.WriteFile(filepath.Join(dir, markFile), []byte(mark), 0o600, renameio.WithTempDir(dir))
	case err != nil:
		return err
	case string(had) != string(mark):
		return fmt.Errorf("it was kept on a kernel whose overlays mark directories with %s, and this one's do with %s: boot that one, or remove what is kept with nsnet down --purge", had, mark)
	}
	return nil
}

// Purge removes what the nodes of a lab keep. It is ErrConflict while the lab runs; a lab that keeps nothing is fine.
func Purge(_ context.Context, name string) (found bool, err error) { return purge(name, nil) }

// purge is Purge of what a file's nodes keep, if there is one.
func purge(name string, of *topology.Lab) (found bool, err error) {
	if err := needRoot(); err != nil {
		return false, err
	}
	if !validName(name) {
		return false, &Error{Lab: name, Err: ErrNotFound}
	}
	lock, err := lockKept(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if of != nil {
		was, kept, err := keptOrigin(of)
		if err == nil && kept && !was.is(originOf(of)) {
			err = fmt.Errorf("%w: what its nodes keep is of %s", ErrConflict, was)
		}
		if err != nil {
			return false, &Error{Lab: name, Err: err, Remedy: "nsnet down --purge " + name + " removes it, whosever it is"}
		}
	}
	if err := removeKept(name); err != nil {
		return false, &Error{Lab: name, Op: "remove what its nodes keep", Err: err}
	}
	return true, nil
}

// removeKept removes what a lab's nodes keep; the caller holds its lock, which goes last.
func removeKept(name string) error {
	dir := filepath.Join(KeepDir, name)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != lockFile {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	_ = os.Remove(KeepDir) // unless another lab keeps something
	return nil
}

// KeptNames lists the labs whose nodes keep something, sorted.
func KeptNames() ([]string, error) {
	if err := needRoot(); err != nil {
		return nil, err
	}
	return labsIn(KeepDir, "list what nodes keep")
}
