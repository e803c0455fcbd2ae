package attach

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/rtnl"
	"github.com/nsnet/nsnet/lab"
)

// How far an attachment is, told by the end of its record's name: renaming is one step.
const (
	attaching = ".attaching"
	attached  = ".json"
	detaching = ".detaching"
	held      = ".netns" // a mount of a namespace that a NIC was lent to
	rewritten = ".new"   // about to take the place of a record
)

// schema is the version of a record. A newer one is refused, not guessed at.
const schema = 1

// Record is everything about one interface that was attached: what there is, how to find it
// again, and what to put back when it goes.
type Record struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"` // ten hexadecimal digits
	Created time.Time `json:"created"`
	Request Request   `json:"request"`
	Target  Place     `json:"target"`
	Index   int       `json:"index"`   // of the interface
	MAC     string    `json:"mac"`     // of the interface
	MTU     int       `json:"mtu"`     // of the link
	HostMAC string    `json:"far_mac"` // of the other end
	Port    string    `json:"port,omitempty"`
	// FarIndex is the other end's, in whichever namespace that is.
	FarIndex   int            `json:"far_index,omitempty"`
	Addresses  []netip.Prefix `json:"addresses,omitempty"`
	Routes     []FinalRoute   `json:"routes,omitempty"`
	Former     [][]byte       `json:"former,omitempty"` // default routes that it took the place of
	Peer       *Place         `json:"peer,omitempty"`
	PeerRoutes []FinalRoute   `json:"peer_routes,omitempty"`
	Resolv     *Resolv        `json:"resolv,omitempty"`
	NIC        *NIC           `json:"nic,omitempty"`

	state string
}

// FinalRoute is a route as it is made, through the interface.
type FinalRoute struct {
	To     netip.Prefix `json:"to"`
	Via    netip.Addr   `json:"via,omitzero"`
	Metric int          `json:"metric,omitempty"`
}

// Resolv is a target's resolv.conf before and after.
type Resolv struct {
	// Place is the path from the target's root where one was made, as it had none; else it is empty.
	Place  string `json:"place,omitempty"`
	Before []byte `json:"before"`
	After  []byte `json:"after"`
}

// NIC is an interface of the host as it was before it was lent.
type NIC struct {
	Name      string   `json:"name"`
	Index     int      `json:"index"`
	MAC       string   `json:"mac"`
	MTU       int      `json:"mtu"`
	Alias     string   `json:"alias"`
	Master    string   `json:"master,omitempty"` // name of its bridge
	Up        bool     `json:"up"`
	Addresses [][]byte `json:"addresses,omitempty"`
	Routes    [][]byte `json:"routes,omitempty"`
	// Settings are its own kernel settings, as far as they are not what the host gives new interfaces.
	Settings []Setting `json:"settings,omitempty"`
}

// Setting is a file below /proc/sys and what is in it.
type Setting struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// alias is what marks the interfaces of a record in every namespace.
func alias(id string) string { return "nsnet:attach:" + id }

// owns tells whether an interface of the target's namespace is the record's. One that was just being made may
// have no alias yet; its index is known by nobody else.
func (r *Record) owns(l rtnl.Link) bool {
	return l.Index == r.Index && (l.Alias == alias(r.ID) || r.state == attaching && l.Name == r.Request.Interface)
}

// idOf is the record that an alias leads to.
func idOf(ifalias string) (string, bool) { return strings.CutPrefix(ifalias, "nsnet:attach:") }

func newID() (string, error) {
	b := make([]byte, 5)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// validID tells what newID can have made. It becomes a file's name.
func validID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 5 && s == strings.ToLower(s)
}

// journal is the directory of records, under the lock of the host.
type journal struct {
	dir  string
	lock *os.File
}

// close gives the lock back, and removes the directory if it is empty.
func (j *journal) close() {
	if err := os.Remove(j.dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		lab.TidyRunDir()
	}
	_ = j.lock.Close()
}

func (j *journal) path(id, state string) string { return filepath.Join(j.dir, id+state) }

// write makes a new record.
func (j *journal) write(r *Record) error {
	if err := failpoint.Hit("mkdir", j.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	return j.create(r, attaching)
}

// rewrite replaces a record that is there.
func (j *journal) rewrite(r *Record) error {
	if err := os.Remove(j.path(r.ID, rewritten)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := j.create(r, rewritten); err != nil {
		return err
	}
	return os.Rename(j.path(r.ID, rewritten), j.path(r.ID, r.state))
}

// create makes a record's file, whole from the moment that it has a name: killed before, nothing
// is left of it. open(2) with O_TMPFILE, linkat(2).
func (j *journal) create(r *Record, state string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := failpoint.Hit("create the record", state); err != nil {
		return err
	}
	fd, err := unix.Open(j.dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), j.path(r.ID, state))
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, j.path(r.ID, state), unix.AT_SYMLINK_FOLLOW)
}

// tidy removes what a command that was killed while it rewrote a record has left.
func (j *journal) tidy() error {
	left, err := filepath.Glob(filepath.Join(j.dir, "*"+rewritten))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// mark tells how far a record is.
func (j *journal) mark(r *Record, state string) error {
	if r.state == state {
		return nil
	}
	if err := failpoint.Hit("mark the record", state); err != nil {
		return err
	}
	if err := os.Rename(j.path(r.ID, r.state), j.path(r.ID, state)); err != nil {
		return err
	}
	r.state = state
	return nil
}

// remove forgets a record.
func (j *journal) remove(r *Record) error {
	if err := failpoint.Hit("remove the record", r.state); err != nil {
		return err
	}
	err := os.Remove(j.path(r.ID, r.state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// records reads all records. One that cannot be read is an error beside the others; the list is nil where
// the directory cannot be.
func records(dir string) ([]*Record, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := []*Record{}
	var errs []error
	for _, e := range entries {
		id, state := e.Name(), ""
		for _, s := range []string{attaching, attached, detaching} {
			if name, ok := strings.CutSuffix(e.Name(), s); ok {
				id, state = name, s
			}
		}
		if state == "" || !validID(id) {
			continue // a mount, or what a killed command was just writing
		}
		r, err := readRecord(filepath.Join(dir, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // another command is at it
		case err != nil:
			errs = append(errs, err)
		case r.ID != id:
			errs = append(errs, fmt.Errorf("read %s: it says it is %q", filepath.Join(dir, e.Name()), r.ID))
		default:
			r.state = state
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *Record) int { return a.Created.Compare(b.Created) })
	return list, errors.Join(errs...)
}

func readRecord(path string) (*Record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if r.Schema > schema {
		return nil, fmt.Errorf("read %s: it was written by a newer nsnet (version %d of the record, this one knows %d)", path, r.Schema, schema)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("read %s: it is damaged: %w", path, err)
	}
	return r, nil
}

// check looks whether what a record has written by root, and removed, can be what nsnet has written down.
func (r *Record) check() error {
	switch {
	case r.Schema < 1:
		return errors.New("it has no version")
	case strings.Contains(r.Port, "/") || r.Port == "..":
		return fmt.Errorf("it names the port %q", r.Port)
	case r.NIC == nil:
		return nil
	}
	for _, s := range r.NIC.Settings {
		dir, key := filepath.Split(s.Path)
		v4, v6 := "/proc/sys/net/ipv4/conf/"+r.NIC.Name+"/", "/proc/sys/net/ipv6/conf/"+r.NIC.Name+"/"
		if dir != v4 && dir != v6 || key == ".." || strings.Contains(r.NIC.Name, "/") || r.NIC.Name == ".." {
			return fmt.Errorf("it has the kernel setting %q", s.Path)
		}
	}
	return nil
}
