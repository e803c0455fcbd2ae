package dns

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/topology"
)

// NetnsDir is where ip-netns(8) looks for a namespace's own files of /etc.
const NetnsDir = "/etc/netns"

// resolvConf is the file's name below a namespace's directory.
const resolvConf = "resolv.conf"

// ErrForeign tells that a file is in the way that nsnet did not write.
var ErrForeign = errors.New("not made by nsnet")

// WriteNetns writes root/LAB.NODE/resolv.conf, for "ip netns exec LAB.NODE"; root is
// NetnsDir but in tests. It returns the directory's and the file's path, also when it
// fails after having made the directory. An existing file is replaced when it carries
// the mark of nsnet; else the error wraps ErrForeign and nothing is changed.
func WriteNetns(root, lab, node string, d topology.DNS) (paths []string, err error) {
	name, err := netnsName(lab, node)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, name)
	for {
		if err := os.MkdirAll(root, 0o755); err != nil {
			return nil, fmt.Errorf("make %s: %w", root, err)
		}
		if err = failpoint.Hit("mkdir", dir); err == nil {
			err = os.Mkdir(dir, 0o755)
		}
		// RemoveNetns of another lab may take the empty root away in between.
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	file := filepath.Join(dir, resolvConf)
	paths = []string{dir, file}
	at, err := openDir(root, name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	defer at.Close()
	if err := failpoint.Hit("create", file); err != nil {
		return paths, fmt.Errorf("open %s: %w", file, err)
	}
	f, err := at.OpenFile(resolvConf, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return paths, fmt.Errorf("open %s: %w", file, err)
	}
	defer f.Close()
	if err := checkMark(f); err != nil {
		return paths, fmt.Errorf("write %s: %w", file, err)
	}
	content := ResolvConf(d)
	if err := failpoint.Hit("write", file); err != nil {
		return paths, fmt.Errorf("write %s: %w", file, err)
	}
	// Written in place: "ip netns exec" has the file mounted in processes that run.
	if _, err := f.WriteAt(content, 0); err != nil {
		return paths, fmt.Errorf("write %s: %w", file, err)
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		return paths, fmt.Errorf("truncate %s: %w", file, err)
	}
	return paths, nil
}

// RemoveNetns removes what WriteNetns made: the file when it carries the mark of
// nsnet, and the directories LAB.NODE and root where they are empty then. What is
// gone already is no error; a file of somebody else stays, without an error.
func RemoveNetns(root, lab, node string) error {
	name, err := netnsName(lab, node)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, name)
	at, err := openDir(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer at.Close()
	f, err := at.OpenFile(resolvConf, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err == nil {
		err = checkMark(f)
		f.Close()
		if errors.Is(err, ErrForeign) {
			return nil
		}
		if err == nil {
			err = failpoint.Hit("remove", dir)
		}
		if err == nil {
			err = at.Remove(resolvConf)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", filepath.Join(dir, resolvConf), err)
	}
	for _, d := range []string{dir, root} {
		if err := failpoint.Hit("rmdir", d); err != nil {
			return fmt.Errorf("remove %s: %w", d, err)
		}
		err := syscall.Rmdir(d)
		switch err {
		case nil, syscall.ENOENT:
		case syscall.ENOTEMPTY, syscall.EEXIST, syscall.EBUSY:
			return nil // somebody else's files, or another node's
		default:
			return fmt.Errorf("remove %s: %w", d, err)
		}
	}
	return nil
}

// Marked lists the directories LAB.NODE below root whose file carries the mark of nsnet.
func Marked(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		at, err := openDir(root, e.Name())
		if err != nil {
			continue // no directory
		}
		f, err := at.OpenFile(resolvConf, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		_ = at.Close()
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Size() > 0 && checkMark(f) == nil {
			names = append(names, e.Name())
		}
		_ = f.Close()
	}
	return names, err
}

// netnsName returns LAB.NODE, which must be one plain path component.
func netnsName(lab, node string) (string, error) {
	name := lab + "." + node
	if lab == "" || node == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("name a network namespace %q: not a plain name", name)
	}
	return name, nil
}

// openDir opens root/name without following a symbolic link out of root.
func openDir(root, name string) (*os.Root, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.OpenRoot(name)
}

// Foreign tells whether a resolv.conf of this content is one that WriteNetns leaves alone.
func Foreign(content string) bool {
	return content != "" && !strings.HasPrefix(content, header)
}

// ReadNetns reads what WriteNetns has written, or somebody else: at most maxNetns bytes. What is no file is ErrForeign.
func ReadNetns(root, lab, node string) (string, error) {
	name, err := netnsName(lab, node)
	if err != nil {
		return "", err
	}
	at, err := openDir(root, name)
	if err != nil {
		return "", err
	}
	defer at.Close()
	f, err := at.OpenFile(resolvConf, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) {
		return "", ErrForeign
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, ErrForeign)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxNetns))
	return string(b), err
}

// maxNetns is far more than a resolv.conf has.
const maxNetns = 1 << 20

// checkMark fails with ErrForeign unless f is a file that starts with the header. An empty file
// passes: it is what a kill between creating and writing leaves.
func checkMark(f *os.File) error {
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, ErrForeign)
	}
	buf := make([]byte, len(header))
	n, err := f.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return err
	}
	if n != 0 && !bytes.Equal(buf[:n], []byte(header)) {
		return ErrForeign
	}
	return nil
}
