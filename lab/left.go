package lab

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// IDsDir is where the machine keeps, across labs and boots:
//
//	left   which ranges of ids files of the host may belong to
//	key    of what turns a bind into the ids that its files have, see bindRange
const IDsDir = "/var/lib/nsnet/ids"

const leftFile = "left"

// A node that has a file of the host's file systems in its hands can leave one that belongs to any of its ids, set-user-ID bit included, without being let write
// anywhere: a socket in a bind is enough, over which a user of the host hands it a directory (unix(7), SCM_RIGHTS). Whoever runs such a program later has
// the id, and with it some power over the node that has it then. So such ranges are not given away again, until there are no others.

// leavesFiles reports whether a node may leave such files.
func leavesFiles(n *topology.Node) bool {
	return !n.Privileged && (len(n.Binds) > 0 || slices.ContainsFunc(n.Unions, func(u topology.Union) bool { return u.Writes() }))
}

// leftIDs are the ranges of nodes that may have left files, the oldest first.
type leftIDs struct {
	First  uint32      `json:"first"`  // where the search for room begins
	Ranges [][2]uint32 `json:"ranges"` // the first id and how many; a multiple of container.IDs

	spans   []span
	changed bool
}

// maxLeft bounds the file, which has fewer than 30 bytes for each range.
const maxLeft = 30 * (lastID - firstNodeID) / container.IDs

// readLeft reads the file. Where there is none, or one that is damaged, nobody knows what was left: it is begun anew at a random place.
func readLeft() *leftIDs {
	f, err := os.OpenFile(filepath.Join(IDsDir, leftFile), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return newLeft()
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLeft+1))
	if err != nil || len(b) > maxLeft {
		return newLeft()
	}
	return decodeLeft(b)
}

func decodeLeft(b []byte) *leftIDs {
	l := &leftIDs{}
	if err := json.Unmarshal(b, l); err != nil {
		return newLeft()
	}
	ok := func(first, count uint32) bool {
		return first >= firstNodeID && first%container.IDs == 0 && count > 0 && count%container.IDs == 0 && first < lastID && count <= lastID-first
	}
	if !ok(l.First, container.IDs) || slices.ContainsFunc(l.Ranges, func(r [2]uint32) bool { return !ok(r[0], r[1]) }) {
		return newLeft()
	}
	for _, r := range l.Ranges {
		l.spans = append(l.spans, span{r[0], r[0] + r[1]})
	}
	return l
}

func newLeft() *leftIDs {
	const ranges = (lastID - firstNodeID) / container.IDs
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return &leftIDs{First: firstNodeID + binary.NativeEndian.Uint32(random[:])%ranges*container.IDs, changed: true}
}

// add notes the range of a node that begins at first.
func (l *leftIDs) add(first uint32) {
	if slices.ContainsFunc(l.spans, func(s span) bool { return s.from <= first && first < s.to }) {
		return
	}
	l.changed = true
	if last := len(l.spans) - 1; last >= 0 && l.spans[last].to == first {
		l.spans[last].to += container.IDs
		return
	}
	l.spans = append(l.spans, span{first, first + container.IDs})
}

// forget drops the oldest ranges, some at a time, and tells whether there were any.
func (l *leftIDs) forget() bool {
	if len(l.spans) == 0 {
		return false
	}
	l.spans, l.changed = l.spans[1+len(l.spans)/16:], true
	return true
}

// write writes the file, at once as a whole. It is not synced: a file that a power cut has damaged is begun anew.
func (l *leftIDs) write() error {
	if !l.changed {
		return nil
	}
	if err := os.MkdirAll(IDsDir, 0o700); err != nil {
		return err
	}
	l.Ranges = [][2]uint32{}
	for _, s := range l.spans {
		l.Ranges = append(l.Ranges, [2]uint32{s.from, s.to - s.from})
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	name := filepath.Join(IDsDir, leftFile)
	if err := failpoint.Hit("write", name); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// writeLeft writes which ranges nodes may leave files with.
func writeLeft(l *leftIDs) error {
	err := l.write()
	if err == nil {
		return nil
	}
	e := &Error{Op: "note the ids that files of the host may belong to", Object: filepath.Join(IDsDir, leftFile), Err: err}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Remedy = "make room in the file system of " + IDsDir
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES):
		e.Remedy = "nsnet has to write there for nodes with binds"
	}
	return e
}

// leave notes that a node that joins a running lab may leave files with the ids of its slot.
func (b *builder) leave(ctx context.Context, slot int) error {
	host, err := lockHost(ctx)
	if err != nil {
		return &Error{Op: "lock the host's record", Err: err}
	}
	defer host.Close()
	left := readLeft()
	left.add(b.rec.ids().of(slot))
	return writeLeft(left)
}
