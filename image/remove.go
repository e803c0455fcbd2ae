package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/topology"
)

// Use is a lab that runs from an image.
type Use struct {
	Lab    string   `json:"lab"`
	Image  string   `json:"image"`        // its name
	ID     string   `json:"id,omitempty"` // what that stood for when the lab came up
	Layers []string `json:"layers"`       // digests of its layers, uncompressed
}

// Users tells all uses. It is asked while nobody can begin another one.
type Users func() ([]Use, error)

// Remove removes an image's name, and what no other name needs of its layers. One that is in use stays, with ErrInUse.
func (s *Store) Remove(ctx context.Context, i topology.Image, users Users) (*Image, error) {
	name := i.String()
	hold, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	defer hold.Close()
	img, err := s.read(s.nameFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Image: name, Err: fmt.Errorf("%w in the store", ErrNotFound), Remedy: "nsnet image ls lists what there is"}
	}
	if err != nil {
		return nil, err
	}
	uses, err := users()
	if err != nil {
		return nil, &Error{Image: name, Op: "look for labs that use it", Err: err}
	}
	var labs []string
	for _, u := range uses {
		if u.Image == name && !slices.Contains(labs, u.Lab) {
			labs = append(labs, u.Lab)
		}
	}
	if len(labs) > 0 {
		return nil, &Error{Image: name, Err: fmt.Errorf("%w by lab %s", ErrInUse, strings.Join(labs, ", ")), Remedy: "take the lab down first"}
	}
	if err := os.Remove(s.nameFile(name)); err != nil {
		return nil, storeError("remove from the store", err)
	}
	return img, s.sweep(uses)
}

// Sweep removes what killed pulls have left and what no name leads to, unless somebody uses the store: then that one's
// end, or the next command, will do.
func (s *Store) Sweep(users Users) error {
	hold, err := s.lock(func(f *os.File) error { return lockfile.Try(f, lockfile.Exclusive) })
	if errors.Is(err, lockfile.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer hold.Close()
	uses, err := users()
	if err != nil {
		return &Error{Op: "look for labs that use images", Err: err}
	}
	return s.sweep(uses)
}

// sweep needs the store's lock alone. Where a record cannot be read it removes no layers: they may be that image's.
func (s *Store) sweep(uses []Use) error {
	images, err := s.List()
	if err != nil {
		return err
	}
	var keep []string
	for _, img := range images {
		keep = append(keep, baseName(img.ID), baseName(img.Digest))
		for _, l := range img.Layers {
			keep = append(keep, baseName(l.DiffID))
		}
	}
	for _, u := range uses { // a name may have been pulled anew since its lab came up
		keep = append(keep, baseName(u.ID))
		for _, l := range u.Layers {
			keep = append(keep, baseName(l))
		}
	}
	var failures []error
	for _, dir := range []string{s.blobs(), s.layers(), s.names()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return storeError("look through the store", err)
		}
		for _, e := range entries {
			if slices.Contains(keep, e.Name()) || dir == s.names() && filepath.Ext(e.Name()) == ".json" && !strings.HasPrefix(e.Name(), ".") {
				continue
			}
			failures = append(failures, removeEntry(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(failures...)
}

// removeEntry removes a file or a layer. A layer loses its name first: half of one must not look like a layer.
func removeEntry(path string) error {
	gone := path
	if st, err := os.Lstat(path); err == nil && st.IsDir() && filepath.Ext(path) != ".part" {
		gone = path + ".part"
		if err := os.RemoveAll(gone); err != nil {
			return storeError("remove from the store", err)
		}
		if err := os.Rename(path, gone); err != nil {
			return storeError("remove from the store", err)
		}
	}
	if err := os.RemoveAll(gone); err != nil {
		return storeError("remove from the store", err)
	}
	return nil
}
