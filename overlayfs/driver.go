package overlayfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Branch is one layer of a union that is to be mounted.
type Branch struct {
	Path     string
	Writable bool // what is written through the union is written here, in place
}

// Spec is a union that is to be mounted. All paths are those of the calling thread's mount namespace, which has to be a
// private one: the mounts that a union is made of stay there, and are gone with it.
type Spec struct {
	Branches []Branch // the first wins
	// Open opens a branch's path; nil: whatever that leads to.
	Open func(path string) (*os.File, error)
	// Own is a directory for the union's own writable layer, above all branches; what is in it from before is kept. Its
	// owner is the user namespace's root, or it is idmapped for that.
	Own string
	// Upper is the first branch where that is what an overlay writes; nil: it writes in Own.
	Upper *Upper
	// Scratch is an empty directory for mount points.
	Scratch string
	Userns  int    // descriptor of the user namespace that is to own what root owns in the branches, -1: none
	Base    uint32 // the host's id of that namespace's root
	Server  Server // for drivers that have one
	Self    string // this program, for them
	// Users tells that the node has the host's users and groups, so that a server may look at those: it opens files
	// as the user whom it serves, with that user's groups.
	Users bool
	// Progress is told how many files were copied, by drivers that copy; may be nil.
	Progress func(files int)
}

// Program is the server of a FUSE file system. Its root is Scratch, and all paths are those in there.
type Program struct {
	Argv  []string // the last is where it is told to mount; it ends once it serves, in the background
	Env   []string
	Hide  string // a name in the mount's root that is covered by
	Cover string // an empty file
}

// Server starts a program as root of the user namespace that Spec names, which sees nothing but Scratch, and mounts
// its file system. It returns a detached copy of that mount.
type Server func(s *Spec, p Program) (mount int, err error)

// Driver makes unions.
type Driver interface {
	// Name is what files and commands call it.
	Name() string
	// Check says what of a union this driver cannot do; it wraps errors.ErrUnsupported.
	Check(branches []Branch) error
	// Mount makes the union and returns a detached mount of it.
	Mount(s *Spec) (fd int, err error)
}

// Drivers are all drivers, the best first.
func Drivers() []Driver { return []Driver{Overlay{}, Fuse{}, Copy{}} }

// AskedFor is why a driver was taken that was named.
const AskedFor = "asked for"

// Choice is a driver and why it was taken.
type Choice struct {
	Driver Driver
	Why    string
}

// Choose takes the driver that was asked for by name, or the best that can do it. Refused tells why the kernel refuses
// an overlay of the union's layers, nil where it does not; it is asked only when it matters.
func Choose(want string, branches []Branch, refused func() error) (Choice, error) {
	if want != "" {
		for _, d := range Drivers() {
			if d.Name() == want {
				return Choice{d, AskedFor}, d.Check(branches)
			}
		}
		return Choice{}, fmt.Errorf("%w: no driver of unions is called %q", errors.ErrUnsupported, want)
	}
	if (Overlay{}).Check(branches) != nil {
		return Choice{Fuse{}, "layers are rw, which overlayfs cannot have"}, Fuse{}.Check(branches)
	}
	if len(branches) > 0 && branches[0].Writable {
		if err := refused(); err != nil {
			return Choice{}, fmt.Errorf("%w: the kernel refuses an overlay of these layers: %w; storage: fuse has them as mergerfs does", errors.ErrUnsupported, err)
		}
		return Choice{Overlay{}, "the first layer alone is rw"}, nil
	}
	if err := refused(); err != nil {
		return Choice{Copy{}, "the kernel refuses an overlay of these layers: " + err.Error()}, Copy{}.Check(branches)
	}
	return Choice{Overlay{}, "the kernel has it"}, nil
}

// branch attaches the branches to short names in Scratch, idmapped, so that neither the length of a path nor any character in it
// matters to a driver. More are further attributes of the mounts.
func (s *Spec) branch(more uint64) ([]string, error) {
	var paths []string
	for i, b := range s.Branches {
		attr := unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | more
		if !b.Writable {
			attr |= unix.MOUNT_ATTR_RDONLY
		}
		fd, err := s.clone(b.Path, attr)
		if err != nil {
			return nil, err
		}
		at := filepath.Join(s.Scratch, "b"+strconv.Itoa(i))
		if err := os.Mkdir(at, 0o755); err != nil {
			_ = unix.Close(fd)
			return nil, err
		}
		if err := attach(fd, at); err != nil {
			return nil, err
		}
		paths = append(paths, at)
	}
	return paths, nil
}

func (s *Spec) clone(path string, attr uint64) (int, error) {
	if s.Open == nil {
		return Clone(path, attr, s.Userns, false)
	}
	f, err := s.Open(path)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return CloneOf(f, attr, s.Userns, false)
}

// inOwn makes directories in Own that the namespace's root owns.
func (s *Spec) inOwn(names ...string) error {
	return As(s.Base, func() error {
		for _, n := range names {
			if err := unix.Mkdir(filepath.Join(s.Own, n), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("create %s: %w", filepath.Join(s.Own, n), err)
			}
		}
		return nil
	})
}

// As runs f with base as the thread's ids for files, and all of its capabilities. A file system that is mounted idmapped lets
// nobody create a file whose id it does not map, the host's root neither (EOVERFLOW), and an overlay keeps
// the ids of who mounts it. The thread has to be locked and to serve nobody else.
func As(base uint32, f func() error) error {
	if base == 0 {
		return f()
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		return fmt.Errorf("look at capabilities: %w", err)
	}
	back := func() {
		_ = unix.Setfsuid(0)
		_ = unix.Setfsgid(0)
		_ = unix.Capset(&header, &had[0])
	}
	defer back()
	if err := unix.Setfsgid(int(base)); err != nil {
		return fmt.Errorf("take the ids of the node: %w", err)
	}
	if err := unix.Setfsuid(int(base)); err != nil {
		return fmt.Errorf("take the ids of the node: %w", err)
	}
	// Leaving uid 0 has taken those over files from the effective ones.
	if err := unix.Capset(&header, &had[0]); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	return f()
}
