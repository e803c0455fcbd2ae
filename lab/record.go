package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/lab/index"
	"github.com/nsnet/nsnet/topology"
)

// Places on the host; documented, and part of what users rely on.
const (
	RunDir   = index.RunDir
	NetnsDir = "/run/netns"
	EtcNetns = "/etc/netns"
)

const (
	stateFile   = "state.json"
	labFile     = "topology.json"
	lockFile    = "lock"
	aliveFile   = index.AliveFile
	controlFile = index.ControlFile
	initLog     = ".init.log" // no node is called so, whose log would be it
	globalLock  = ".lock"
)

// schema is the version of the record. A newer one is refused, not guessed at.
const schema = 2

// record is what is written down of a lab: what is needed to find it, and to remove what
// can outlive it.
type record struct {
	Schema int    `json:"schema"`
	BootID string `json:"boot_id"`
	Name   string `json:"name"`
	origin
	Digest   string          `json:"digest"` // of the resolved lab
	Created  time.Time       `json:"created"`
	Built    bool            `json:"built"`
	InitPID  int             `json:"init_pid"`
	Base     uint32          `json:"id_base"`
	IDs      uint32          `json:"ids"`
	Powers   uint32          `json:"powers,omitempty"` // the first id of those that have power over it; 0: made by an earlier nsnet, which took them from IDs
	UserNS   bool            `json:"userns"`
	Limits   bool            `json:"limits"`            // nodes have cgroups, or are about to
	Bounded  bool            `json:"bounded,omitempty"` // it has a cgroup of its own, or is about to
	NAT      bool            `json:"nat"`
	NoTable  bool            `json:"no_table,omitempty"` // the kernel cannot make the one of the lab's legs
	Forwards []bridge.Family `json:"forwards,omitempty"` // it needs the host's switch for all interfaces
	Routed   []string        `json:"routed,omitempty"`   // legs that forward IPv4, whatever other interfaces do
	Links    []string        `json:"links,omitempty"`    // interfaces in the host's network namespace
	Netns    []string        `json:"netns,omitempty"`    // names below /run/netns
	DNS      []string        `json:"dns,omitempty"`      // nodes with files below /etc/netns
	Rules    []bridge.Rule   `json:"rules,omitempty"`
	Sysctls  []bridge.Sysctl `json:"sysctls,omitempty"` // with their former values
	Kept     bool            `json:"kept,omitempty"`    // its init holds the lock of what its nodes keep
	Images   []image.Use     `json:"images,omitempty"`  // of the store
	Work     []workDir       `json:"work,omitempty"`    // beside layers that unions write

	Unbounded string            `json:"unbounded,omitempty"` // why it has no such group
	Dir       string            `json:"dir,omitempty"`       // the file's own, without symbolic links; empty: no path is beneath it
	Elsewhere map[string]string `json:"elsewhere,omitempty"` // where the paths lead that are not beneath it, as was allowed
}

func validName(s string) bool { return index.ValidName(s) }

func dirOf(name string) string { return index.Dir(name) }

// alive reports whether a lab's init lives, see index.Alive. Which process it is tells findInit.
func alive(dir string) bool { return index.Alive(dir) }

// locked is a lab's directory, held by its lock.
type locked struct {
	dir  string
	lock *os.File
}

// lockLab opens and locks a lab's directory. Without create, a lab that has none is
// fs.ErrNotExist.
func lockLab(ctx context.Context, name string, create, noWait bool) (*locked, error) {
	if !validName(name) {
		return nil, &Error{Lab: name, Err: ErrNotFound}
	}
	if err := needRoot(); err != nil {
		return nil, err
	}
	dir := dirOf(name)
	for {
		if create {
			err := failpoint.Hit("mkdir", dir)
			if err == nil {
				err = os.MkdirAll(dir, 0o700)
			}
			if errors.Is(err, fs.ErrNotExist) {
				continue // the last lab's down has just removed the parent
			}
			if err != nil {
				return nil, recordError(name, "create the record", err)
			}
		}
		if err := failpoint.Hit("create", lockFile); err != nil {
			return nil, recordError(name, "create the record", err)
		}
		f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) && create {
				continue // a down has just removed the directory
			}
			return nil, err
		}
		if noWait {
			err = lockfile.Try(f, lockfile.Exclusive)
		} else {
			err = lockfile.Wait(ctx, f, lockfile.Exclusive, "lab "+name+"'s lock")
		}
		if err != nil {
			f.Close()
			if errors.Is(err, lockfile.ErrHeld) {
				return nil, &Error{Lab: name, Err: ErrBusy, Remedy: "wait for it, or leave out --no-wait"}
			}
			return nil, &Error{Lab: name, Op: "lock", Err: err}
		}
		if lockfile.Current(f) {
			return &locked{dir, f}, nil
		}
		f.Close()
		if !create {
			if _, err := os.Stat(dir); err != nil {
				return nil, err
			}
		}
	}
}

func (l *locked) unlock() { l.lock.Close() }

// lockHost takes the lock over what all labs share: id ranges, forwarding.
func lockHost(ctx context.Context) (*os.File, error) {
	if err := os.MkdirAll(RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("create %s: %w", RunDir, err)
	}
	for {
		if err := failpoint.Hit("create", globalLock); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(filepath.Join(RunDir, globalLock), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(RunDir, 0o700); err != nil { // the last lab's down has just removed it
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := lockfile.Wait(ctx, f, lockfile.Exclusive, "the lock that all labs of this host share"); err != nil {
			f.Close()
			return nil, err
		}
		if lockfile.Current(f) {
			return f, nil
		}
		f.Close()
	}
}

// busy tells whether somebody holds a lab's lock.
func busy(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	return lockfile.Held(f)
}

// errNewer is a record that this nsnet must not guess at.
var errNewer = errors.New("it was written by a newer nsnet")

func readRecord(dir string) (*record, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(dir, b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, stateFile), err)
	}
	return r, nil
}

func (r *record) write(dir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := failpoint.Hit("write", stateFile); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, stateFile), b, 0o600, renameio.WithTempDir(dir))
}

// recordError is a failure to make or write a lab's record.
func recordError(name, op string, err error) *Error {
	e := &Error{Lab: name, Op: op, Err: err}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Remedy = "make room in the file system of " + RunDir
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES):
		e.Remedy = "nsnet has to write below " + filepath.Dir(RunDir)
	}
	return e
}

func readLab(dir string) (*topology.Lab, error) {
	b, err := os.ReadFile(filepath.Join(dir, labFile))
	if err != nil {
		return nil, err
	}
	l, err := decodeLab(dir, b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, labFile), err)
	}
	_, err = withUpdates(dir, l)
	return l, err
}

// Names lists the labs that have a record on this host, dead ones included, sorted.
func Names() ([]string, error) {
	if err := needRoot(); err != nil {
		return nil, err
	}
	return labsIn(RunDir, "list labs")
}

// labsIn lists the directories with names of labs in one, sorted.
func labsIn(dir, op string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	var names []string
	for _, e := range entries { // sorted by os.ReadDir
		if e.IsDir() && validName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

// needRoot looks whether this is root, and whether the record is root's alone.
func needRoot() error {
	if os.Geteuid() != 0 {
		return &Error{Err: ErrPermission, Remedy: "run it as root, with sudo for example"}
	}
	if err := index.CheckRunDir(); err != nil {
		return &Error{Op: "look for labs", Err: err, Remedy: "find out who has made it; then remove it, or run chown root " + RunDir + " and chmod 0700 " + RunDir}
	}
	return nil
}
