package consent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/topology"
)

// Dir is where the machine keeps what files were allowed.
const Dir = "/var/lib/nsnet/consent"

// Store is a directory that only its owner may enter, with a file for each topology file that was allowed something. It is made when
// something is first kept.
type Store struct{ dir string }

// StoreIn is the store in a directory.
func StoreIn(dir string) Store { return Store{dir} }

// Kept is what a file was allowed.
type Kept struct {
	File string `json:"file"` // its path without symbolic links
	// Owner is the user id that the file belonged to. Somebody else's file in its place was not meant.
	Owner uint32         `json:"owner"`
	Asks  []topology.Ask `json:"asks"`
}

// name is the file that has what the file at path was allowed.
func (s Store) name(path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:])+".json")
}

// check tells whether the store is the owner's alone: who else could write there could allow what he likes.
func (s Store) check() error {
	var st unix.Stat_t
	if err := unix.Lstat(s.dir, &st); err != nil {
		return fmt.Errorf("look at what files were allowed: %s: %w", s.dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s is not a directory that only its owner, uid %d, may enter: chown and chmod 0700 it, or remove it", s.dir, os.Geteuid())
	}
	return nil
}

// Of returns what the file at a path without symbolic links, which belongs to a user, was allowed. It may be nothing.
func (s Store) Of(path string, owner uint32) ([]topology.Ask, error) {
	if err := s.check(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	k, err := read(s.name(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if k.File != path {
		return nil, fmt.Errorf("%s is about another file", s.name(path))
	}
	if k.Owner != owner {
		return nil, nil
	}
	return k.Asks, nil
}

func read(name string) (k Kept, err error) {
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		return Kept{}, fmt.Errorf("read what a file was allowed: %s: %w; remove it, and allow it again", name, err)
	}
	return k, nil
}

// Keep adds to what the file at a path, which belongs to a user, was allowed.
func (s Store) Keep(ctx context.Context, path string, owner uint32, asks []topology.Ask) error {
	if err := s.keep(ctx, path, owner, asks); err != nil {
		return fmt.Errorf("keep what %s was allowed: %w", path, err)
	}
	return nil
}

func (s Store) keep(ctx context.Context, path string, owner uint32, asks []topology.Ask) error {
	if err := failpoint.Hit("mkdir", s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	kept, err := s.Of(path, owner)
	if err != nil {
		return err
	}
	before, all := len(kept), thingsOf(kept)
	for _, a := range asks {
		if !all.cover(a) {
			all[a] = true
			kept = append(kept, a)
		}
	}
	if before == len(kept) {
		return nil
	}
	kept = slices.DeleteFunc(kept, all.coverMore)
	b, err := json.MarshalIndent(Kept{path, owner, kept}, "", "\t")
	if err != nil {
		return err
	}
	if err := failpoint.Hit("write", s.name(path)); err != nil {
		return err
	}
	return renameio.WriteFile(s.name(path), append(b, '\n'), 0o600)
}

// lock keeps others from changing the store until it is closed.
func (s Store) lock(ctx context.Context) (*os.File, error) {
	f, err := os.Open(s.dir)
	if err != nil {
		return nil, err
	}
	if err := lockfile.Wait(ctx, f, lockfile.Exclusive, "the lock of the consents"); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// All lists what files were allowed, sorted by path. What cannot be read is an error beside the rest.
func (s Store) All() ([]Kept, error) {
	if err := s.check(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Kept
	var failures []error
	for _, name := range names {
		k, err := read(name)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b Kept) int { return strings.Compare(a.File, b.File) })
	return all, errors.Join(failures...)
}

// Withdraw forgets what the file at a path was allowed, and reports whether that was anything.
func (s Store) Withdraw(path string) (bool, error) {
	if err := s.check(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	err := failpoint.Hit("remove", s.name(path))
	if err == nil {
		err = os.Remove(s.name(path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("withdraw what %s was allowed: %w", path, err)
	}
	return true, nil
}
