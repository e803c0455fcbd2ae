package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// origin is whose a lab is: the file's that has made it. A name is anybody's to choose.
type origin struct {
	File  string  `json:"file"`            // without symbolic links; empty: of text that is of no file
	Owner *uint32 `json:"owner,omitempty"` // the user id that it belonged to; nil: there is no file, or an nsnet has written it that did not look
}

// originOf is the origin of a lab that was read.
func originOf(l *topology.Lab) origin {
	o := origin{File: l.File}
	if owner, known := consent.OwnerOf(l); known {
		o.Owner = &owner
	}
	return o
}

// is reports whether what is of an origin is of this one as well. All text of no file is one origin: there is nothing to tell it by.
func (o origin) is(now origin) bool {
	switch {
	case o.File == "" || now.File == "":
		return o.File == now.File
	case o.Owner == nil: // the path is the one that was typed
		return sameFile(o.File, now.File)
	}
	return o.File == now.File && now.Owner != nil && *o.Owner == *now.Owner
}

// String names it in a sentence.
func (o origin) String() string {
	if o.File == "" {
		return "text on standard input"
	}
	return o.File
}

// taken refuses a file for a lab that another file has made.
func taken(was, now origin) error {
	if was.is(now) {
		return nil
	}
	return &Error{
		Err:    fmt.Errorf("%w: a lab of this name runs, which %s has made", ErrConflict, was),
		Remedy: "if it is to become what this file says, say so with nsnet up --replace; else give this one another name, with --name, or take the other down",
	}
}

// keptFile says whose the files are that a lab's nodes keep.
const keptFile = "origin.json"

// keptOrigin returns whose the files are that the nodes of a lab of this name keep. What an nsnet has kept that did not write it down is
// of whatever file in the same directory asks for it first. False: nothing is kept.
func keptOrigin(l *topology.Lab) (o origin, kept bool, err error) {
	dir := filepath.Join(KeepDir, l.Name)
	b, err := os.ReadFile(filepath.Join(dir, keptFile))
	if err == nil {
		err = json.Unmarshal(b, &o)
		return o, true, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return o, false, err
	}
	b, err = os.ReadFile(filepath.Join(dir, labFile))
	if errors.Is(err, fs.ErrNotExist) {
		return o, false, nil
	}
	var was struct {
		Dir string `json:"dir"`
	}
	if err == nil {
		err = json.Unmarshal(b, &was)
	}
	if err != nil {
		return o, false, err
	}
	if sameFile(was.Dir, l.Dir) {
		return originOf(l), true, nil
	}
	return origin{File: filepath.Join(was.Dir, "a file")}, true, nil
}

// checkKept refuses a file whose nodes would take over what those of another file keep.
func (b *builder) checkKept(start []topology.Node) error {
	if b.replace || !slices.ContainsFunc(start, func(n topology.Node) bool { return n.Writable.Persist }) {
		return nil
	}
	was, kept, err := keptOrigin(b.lab)
	dir := filepath.Join(KeepDir, b.lab.Name)
	if err != nil {
		return &Error{Op: "find whose it is", Object: dir, Err: err, Remedy: "nsnet up --replace takes it over, nsnet down --purge " + b.lab.Name + " removes it"}
	}
	if !kept || was.is(originOf(b.lab)) {
		return nil
	}
	return &Error{
		Object: dir,
		Err:    fmt.Errorf("%w: what nodes of a lab of this name keep is of %s", ErrConflict, was),
		Remedy: "if it is to be this file's, say so with nsnet up --replace; else give this one another name, with --name, or remove what is kept with nsnet down --purge " + b.lab.Name,
	}
}

// ownKept writes down whose it is what the lab's nodes keep. The lab holds the lock.
func ownKept(l *topology.Lab) error {
	dir := filepath.Join(KeepDir, l.Name)
	is := originOf(l)
	b, err := json.Marshal(is)
	if err != nil {
		return err
	}
	if was, err := os.ReadFile(filepath.Join(dir, keptFile)); err == nil && string(was) == string(b) {
		return nil
	}
	err = failpoint.Hit("write kept", keptFile)
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, keptFile), b, 0o600, renameio.WithTempDir(dir))
	}
	if err != nil {
		return &Error{Op: "write", Object: filepath.Join(dir, keptFile), Err: err}
	}
	return nil
}

// sameFile tells whether two absolute paths lead to one file, or led there.
func sameFile(a, b string) bool {
	whole := func(path string) string {
		if p, err := filepath.EvalSymlinks(path); err == nil {
			return p
		}
		return filepath.Clean(path)
	}
	return a == b || whole(a) == whole(b)
}
