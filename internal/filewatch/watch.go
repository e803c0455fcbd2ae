package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Quiet is how long nothing has to happen to a file for its change to be told.
const Quiet = 200 * time.Millisecond

// glance is the time between two looks where there is no inotify.
const glance = 500 * time.Millisecond

// Watch sends on the channel that it returns whenever one of the files at paths may have changed, until ctx ends; then the channel is
// closed. A change that comes before the last one was taken is not told twice. A file that does not exist may come to be.
// Of a directory it is told that another one has taken its name, and not what happens in it.
func Watch(ctx context.Context, paths ...string) <-chan struct{} {
	events, changes := make(chan struct{}, 1), make(chan struct{}, 1)
	go func() {
		notify(ctx, paths, events)
		poll(ctx, paths, events) // where inotify is not to be had, or no more
		close(events)
	}()
	go settle(events, changes)
	return changes
}

// settle passes on one change for a burst of events.
func settle(events <-chan struct{}, changes chan<- struct{}) {
	defer close(changes)
	for range events {
		quiet := time.NewTimer(Quiet)
		for waiting := true; waiting; {
			select {
			case _, more := <-events:
				if !more {
					return
				}
				quiet.Reset(Quiet)
			case <-quiet.C:
				waiting = false
			}
		}
		tell(changes)
	}
}

func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// notify tells of inotify's events until ctx ends, or there are none to be had.
func notify(ctx context.Context, paths []string, events chan<- struct{}) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	w := watches{}
	if w.add(fd, paths) != nil {
		return
	}
	tell(events) // what happened before the watch was there
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(unsafe.SliceData(b)))
			size := unix.SizeofInotifyEvent + int(e.Len)
			name := unix.ByteSliceToString(b[unix.SizeofInotifyEvent:min(size, len(b))])
			if e.Mask&(unix.IN_IGNORED|unix.IN_MOVE_SELF) != 0 { // the directory is gone, or elsewhere
				tell(events)
				return
			}
			if e.Mask&unix.IN_Q_OVERFLOW != 0 || w[watched{e.Wd, name}] {
				err := w.add(fd, paths) // a link may lead elsewhere now
				if tell(events); err != nil {
					return
				}
			}
			b = b[min(size, len(b)):]
		}
	}
}

// watched is a name in a directory, which its watch tells.
type watched struct {
	wd   int32
	name string
}

// watches are the names of a file and of the symbolic links on the way to it. One that a link no longer leads by does no harm but
// that a change of it is told, too.
type watches map[watched]bool

// add watches all places where files are now. What is watched already stays so.
func (w watches) add(fd int, paths []string) error {
	var all []string
	for _, path := range paths {
		some, err := places(path)
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	for _, p := range all {
		wd, err := unix.InotifyAddWatch(fd, filepath.Dir(p), unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVE_SELF|unix.IN_ONLYDIR)
		if err != nil {
			return err
		}
		w[watched{int32(wd), filepath.Base(p)}] = true
	}
	return nil
}

// maxLinks are as many symbolic links as the kernel follows. path_resolution(7).
const maxLinks = 40

// places are the names that say where a file is: each symbolic link on the way, in place of a directory too, and the file's own in the
// end. path_resolution(7).
func places(path string) ([]string, error) {
	if !filepath.IsAbs(path) {
		cwd, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		path = cwd + "/" + path // not cleaned: ".." behind a link leads out of what that leads to
	}
	var all []string
	dir, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir) // which has no link in it
			continue
		}
		at := filepath.Join(dir, name)
		to, err := os.Readlink(at)
		if err != nil { // no link, or nothing yet
			if dir = at; len(rest) == 0 {
				all = append(all, at)
			}
			continue
		}
		if links++; links > maxLinks {
			return nil, unix.ELOOP
		}
		all = append(all, at)
		if filepath.IsAbs(to) {
			dir = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return all, nil
}

// poll looks at the files now and then.
func poll(ctx context.Context, paths []string, events chan<- struct{}) {
	before := lookAll(paths)
	t := time.NewTicker(glance)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if now := lookAll(paths); !slices.Equal(now, before) {
				before = now
				tell(events)
			}
		}
	}
}

// seen is what tells a file's content from another.
type seen struct {
	device, inode uint64
	size          int64
	changed       unix.Timespec
}

func lookAll(paths []string) []seen {
	all := make([]seen, len(paths))
	for i, path := range paths {
		all[i] = look(path)
	}
	return all
}

func look(path string) seen {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return seen{}
	}
	return seen{st.Dev, st.Ino, st.Size, st.Ctim}
}
