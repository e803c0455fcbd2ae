package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/inroot"
	"github.com/nsnet/nsnet/topology"
)

// hostFiles opens the files of the host that a lab's file names. What was looked at, and allowed, is a path without symbolic links, and whoever
// owns a directory of it can have put another thing, or a link to one, in its place since. So what is mounted, copied or read is opened here,
// where no link is followed any more, and used by its descriptor alone. A mount can only be cloned by a descriptor of the thread's own
// mount namespace, so that each namespace opens for itself.
type hostFiles struct {
	// lead says where a path may lead, without symbolic links.
	lead func(path string) (topology.HostPath, error)
	// own is the directory that the lab's file was found in. What is beneath it is opened from there, for whoever owns a directory above may have put
	// another one in its place. Nil: what is at its path.
	own  fs.FileInfo
	dirs map[string]bool // those that roots and unions are made of
}

// errElsewhere is that of a path in whose place there is something else by now.
var errElsewhere = errors.New("it leads elsewhere than when it was looked at")

// filesOf opens what the file of a lab names where that led when the file was read.
func filesOf(l *topology.Lab) *hostFiles {
	f := newHostFiles(l, func(path string) (topology.HostPath, error) { return l.HostPath(path), nil })
	f.own = l.DirInfo
	return f
}

// filesNow opens what a lab that runs has named where that leads now, as long as that is beneath its file's directory, or what
// was allowed.
func filesNow(r *record, labs ...*topology.Lab) *hostFiles {
	lead := func(path string) (topology.HostPath, error) {
		now, err := topology.FindPath(path, r.Dir)
		if err == nil && now.Beneath == "" && now.Real != r.Elsewhere[path] {
			err = errElsewhere
		}
		return now, err
	}
	f := newHostFiles(nil, lead)
	for _, l := range labs {
		f.add(l)
	}
	return f
}

func newHostFiles(l *topology.Lab, lead func(string) (topology.HostPath, error)) *hostFiles {
	f := &hostFiles{lead: lead, dirs: map[string]bool{}}
	if l != nil {
		f.add(l)
	}
	return f
}

func (f *hostFiles) add(l *topology.Lab) {
	for i := range l.Nodes {
		for _, dir := range dirsOf(&l.Nodes[i]) {
			f.dirs[dir] = true
		}
	}
}

// open opens what a path of the lab's file leads to, with O_PATH: nothing is read, and nobody waited for. Its name is the path without links.
func (f *hostFiles) open(path string) (*os.File, error) {
	return f.openAs(path, 0)
}

func (f *hostFiles) openAs(path string, flags int) (*os.File, error) {
	at, err := f.lead(path)
	if err == nil {
		var fd int
		if fd, err = f.openReal(at, unix.O_PATH|flags); err == nil {
			return os.NewFile(uintptr(fd), at.Real), nil
		}
		if errors.Is(err, unix.ELOOP) {
			err = fmt.Errorf("%w: %s is a symbolic link now, or below one", errElsewhere, at.Real)
		}
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}

// openReal opens where a path leads.
func (f *hostFiles) openReal(at topology.HostPath, flags int) (int, error) {
	if f.own == nil || at.Beneath == "" {
		return inroot.OpenReal(at.Real, flags)
	}
	fd, err := inroot.OpenReal(at.Dir(), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	dir := os.NewFile(uintptr(fd), at.Dir())
	defer dir.Close()
	is, err := dir.Stat()
	if err != nil {
		return -1, err
	}
	if !os.SameFile(is, f.own) {
		return -1, fmt.Errorf("%w: %s is another directory now", errElsewhere, at.Dir())
	}
	return inroot.OpenRealAt(fd, at.Beneath, flags)
}

// openDir opens a layer: one of the lab's file as open does, and any other, which is nsnet's own or the host's root, by its path.
func (f *hostFiles) openDir(path string) (*os.File, error) {
	if f != nil && f.dirs[path] {
		return f.openAs(path, unix.O_DIRECTORY)
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openDirs opens layers, for those who go by paths: it returns a path for each, for as long as it is open.
func (f *hostFiles) openDirs(layers []string) (paths []string, done func(), err error) {
	var open []*os.File
	done = func() {
		for _, d := range open {
			_ = d.Close()
		}
	}
	for _, layer := range layers {
		if f == nil || !f.dirs[layer] {
			paths = append(paths, layer)
			continue
		}
		d, err := f.openDir(layer)
		if err != nil {
			done()
			return nil, nil, err
		}
		open, paths = append(open, d), append(paths, named(d))
	}
	return paths, done, nil
}

// named is a path of what is open, in this process alone. proc_pid_fd(5).
func named(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// leads are what a record keeps of where a lab's paths lead: its file's directory, and what was allowed outside of it.
func leads(l *topology.Lab) (dir string, elsewhere map[string]string) {
	for path, p := range l.Paths {
		switch p.Beneath {
		case "":
			if elsewhere == nil {
				elsewhere = map[string]string{}
			}
			elsewhere[path] = p.Real
		default:
			dir = p.Dir()
		}
	}
	return dir, elsewhere
}

// idOf identifies a directory of the lab's file.
func (f *hostFiles) idOf(dir string) (fileID, error) {
	d, err := f.openDir(dir)
	if err != nil {
		return fileID{}, err
	}
	defer d.Close()
	id, known := idOf(d)
	if !known {
		return id, unix.EBADF
	}
	return id, nil
}
