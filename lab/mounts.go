package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/overlayfs"
	"github.com/nsnet/nsnet/topology"
)

// mounter makes the mounts that a lab gets from the host's root, on a thread with a mount
// namespace of its own: none of them is ever seen in the host's, and all are gone with it.
type mounter struct {
	work chan func()
	at   string // a tmpfs, in the mounter's namespace only
	turn string // begins the names of directories there for one node each

	files  *hostFiles              // that the lab's file names; nil: no layer is one
	images map[string]*image.Image // of the store, by name
	keep   string                  // where the lab's nodes keep what they write
	init   int                     // the lab init's pid, once it is there

	lab     string
	written map[string]upperLayer // directories that unions write, by unionName
	step    func(name string, done, total int)

	// On this kernel the nodes' roots are assembled here and not by their inits.
	assembles bool

	devs     int          // a detached mount of the device nodes
	newHosts *os.File     // /etc/hosts that the common layers share, open for writing; nil: each node has its own
	commons  commonLayers // once prepared
	prepared func() error // waits for them
}

// newMounter starts the thread; at is an existing directory.
func newMounter(at string) (*mounter, error) {
	m := &mounter{work: make(chan func()), at: at, devs: -1, prepared: func() error { return nil }}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := failpoint.Hit("unshare", "mounts")
		if err == nil {
			err = unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		}
		if err == nil {
			unix.Umask(0o022) // of this thread alone by now: what is made here is for nodes to see, whatever the caller's
		}
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = failpoint.Hit("mount", at)
		}
		if err == nil {
			err = unix.Mount("nsnet", at, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755")
		}
		if err == nil {
			m.assembles = errors.Is(unix.Setxattr(at, string(overlayfs.UserMark), []byte("n"), 0), unix.EOPNOTSUPP)
		}
		ready <- err
		if err != nil {
			return
		}
		for f := range m.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("create a private mount namespace: %w", err)
	}
	return m, nil
}

// close ends the thread, when it is done with what it was given.
func (m *mounter) close() {
	_ = m.prepared()
	if m.devs >= 0 {
		_ = unix.Close(m.devs)
	}
	if m.newHosts != nil {
		_ = m.newHosts.Close()
	}
	close(m.work)
}

// do runs f on the mounter's thread.
func (m *mounter) do(f func() error) error {
	done := make(chan error)
	m.work <- func() { done <- f() }
	return <-done
}

// prepare fills the tmpfs for these nodes of a lab. Device nodes and /etc/hosts are there when it returns, and the common
// layers, for which the host's files are looked through, when prepared does: what else the thread is asked to do waits for them.
func (m *mounter) prepare(l *topology.Lab, nodes []topology.Node) error {
	if err := m.do(func() error { return m.first(l, len(nodes) > 0) }); err != nil {
		return err
	}
	done := make(chan error, 1)
	m.prepared = sync.OnceValue(func() error { return <-done })
	m.work <- func() {
		var err error
		if m.commons, err = m.planCommon(l, nodes); err == nil && !m.assembles {
			err = m.commons.write(m.at, overlayfs.UserMark)
		}
		done <- err
	}
	return nil
}

// first makes what takes no time, and is asked for first.
func (m *mounter) first(l *topology.Lab, hosts bool) error {
	err := m.devices()
	if err == nil {
		m.devs, err = clone(filepath.Join(m.at, "devs"), unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, -1, false)
	}
	if err == nil && hosts && !m.assembles {
		m.newHosts, err = writeHosts(m.at, l)
	}
	return err
}

// devices makes the nodes that every node of a lab may have. They are made here because
// inside a user namespace mknod(2) is refused.
func (m *mounter) devices() error {
	dir := filepath.Join(m.at, "devs")
	if err := os.MkdirAll(filepath.Join(dir, "net"), 0o755); err != nil {
		return err
	}
	for _, d := range []struct {
		name         string
		major, minor uint32
	}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}, {"net/tun", 10, 200}} {
		path := filepath.Join(dir, d.name)
		if err := failpoint.Hit("mknod", d.name); err != nil {
			return fmt.Errorf("create device %s: %w", d.name, err)
		}
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("create device %s: %w", d.name, err)
		}
		if err := unix.Chmod(path, 0o666); err != nil { // whatever the umask
			return fmt.Errorf("create device %s: %w", d.name, err)
		}
	}
	return nil
}

// hosts is the common layers' /etc/hosts, open for writing: nodes that have not changed the file see what is written there, all
// at once. The mounter closes it.
func (m *mounter) hosts() []int {
	if m.newHosts == nil {
		return nil // each has its own
	}
	return []int{int(m.newHosts.Fd())}
}

// clone is overlayfs.Clone with this package's error for what the kernel has not.
func clone(path string, attr uint64, userns int, recursive bool) (int, error) {
	fd, err := overlayfs.Clone(path, attr, userns, recursive)
	return fd, cloneError(err)
}

// cloneLayer clones a layer read-only, whether it is one of the lab's file or not.
func (f *hostFiles) cloneLayer(path string, userns int) (int, error) {
	dir, err := f.openDir(path)
	if err != nil {
		return -1, err
	}
	defer dir.Close()
	fd, err := overlayfs.CloneOf(dir, unix.MOUNT_ATTR_RDONLY, userns, false)
	return fd, cloneError(err)
}

func cloneError(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// nodeMounts is what a node gets of the host.
type nodeMounts struct {
	fds    []int  // common layer, layers, what is kept, unions, binds
	dirs   []bool // which binds are directories
	uppers []int  // open writable layers that the node's init does not know
	paths  []string
	locks  []*os.File // of directories that unions write, for the lab init to hold
	notes  []string   // for the user

	servers []*os.File // pipes that are hung up when servers of unions end, for the lab init to hold
	served  []string   // those unions, by their paths
}

func (r *nodeMounts) close() {
	closeFDs(r.fds)
	closeFDs(r.uppers)
	for _, f := range slices.Concat(r.locks, r.servers) {
		_ = f.Close()
	}
}

// node makes a node's mounts. Base is the node's first id, 0 for one that is the host's root.
func (m *mounter) node(n *topology.Node, s *proto.NodeSetup, chosen []proto.Storage, userns int, base uint32) (r nodeMounts, err error) {
	err = m.do(func() error {
		if err := m.root(&r, n, s, userns, base); err != nil {
			return err
		}
		if err := m.unions(&r, n, chosen, userns, base); err != nil {
			return err
		}
		return m.binds(&r, n, userns, base)
	})
	if err != nil {
		r.close()
		return nodeMounts{}, err
	}
	return r, nil
}

// root makes what a root filesystem is made of, or the whole of it.
func (m *mounter) root(r *nodeMounts, n *topology.Node, s *proto.NodeSetup, userns int, base uint32) error {
	above, image := m.stack(n)
	if s.Assembled {
		whole := m.assemble
		if copiesRoot(n) {
			whole = m.copyRoot
		}
		a, err := whole(n, s, userns, base)
		if err != nil {
			return err
		}
		r.fds, r.uppers, r.paths = append(r.fds, a.root), append(r.uppers, a.upper), append(r.paths, "/")
		return nil
	}
	all := append([]string{filepath.Join(m.at, m.commons.of(n))}, above...)
	for _, path := range append(all, image...) {
		fd, err := m.files.cloneLayer(path, userns)
		if err != nil {
			return err
		}
		r.fds = append(r.fds, fd)
	}
	if !n.Writable.Persist {
		return nil
	}
	fd, err := clone(filepath.Join(keptBy(m.keep, n.Name), rootTree), unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, userns, false)
	if err == nil {
		r.fds = append(r.fds, fd)
	}
	return err
}

func (m *mounter) binds(r *nodeMounts, n *topology.Node, userns int, base uint32) error {
	for _, b := range n.Binds {
		t, err := m.files.openSource(b, bindNode{n.Name, userns, base})
		if err != nil {
			return err
		}
		r.fds, r.dirs = append(r.fds, t.fd), append(r.dirs, t.id.dir)
		r.notes = append(r.notes, t.notes(n.Name, b)...)
	}
	return nil
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
