package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/lab/index"
)

// writeIndex writes the index of a lab whose record and topology are written. The caller holds the lab's lock.
func writeIndex(dir string, x index.Index) error {
	if err := failpoint.Hit("write", index.File); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, index.File), x.Bytes(), 0o600, renameio.WithTempDir(dir))
}

// dropIndex removes the index of a lab whose topology or record is about to be another one.
func dropIndex(dir string) error {
	if err := failpoint.Hit("remove", index.File); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, index.File)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// recordHas reports whether a lab has a node: by its index, or else by its topology.
func recordHas(dir, name string) (bool, error) {
	if x, ok := index.Read(dir); ok {
		return x.Has(name), nil
	}
	l, err := readLab(dir)
	if err != nil {
		return false, err
	}
	return hasNode(l, name), nil
}

// hasLimits reports whether the nodes of a lab have control groups: by its index, or else by its record. A lab that a down is
// removing has none.
func hasLimits(dir string) bool {
	if x, ok := index.Read(dir); ok {
		return x.Limits
	}
	r, err := readRecord(dir)
	return err == nil && r.Limits
}

// isBuilt reports whether a lab's up has come to its end: by its index, or else by its record.
func isBuilt(dir string) (bool, error) {
	if _, ok := index.Read(dir); ok {
		return true, nil
	}
	r, err := readRecord(dir)
	if err != nil {
		return false, err
	}
	return r.Built, nil
}
