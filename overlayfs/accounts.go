package overlayfs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/inroot"
)

// maxAccounts bounds what is read of the host's passwd and group files, in bytes.
const maxAccounts = 1 << 20

// sudoers is what stands in for the host's: root may do everything, and whoever the
// node's own files in sudoers.d name.
const sudoers = "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"

// runtimeDirs are directories of /run that a daemon needs and its service file or init
// script makes: a node has neither, and the host need not have started the daemon.
var runtimeDirs = [...]struct{ path, program, user string }{
	{"run/frr", "usr/lib/frr/zebra", "frr"},
	{"run/sshd", "usr/sbin/sshd", "root"},
}

// synthesize adds what stands in for files that are always closed, but that programs
// cannot do without.
func (w *walker) synthesize(root int) error {
	passwd, err := readPublic(root, "etc/passwd")
	if err != nil {
		return err
	}
	group, err := readPublic(root, "etc/group")
	if err != nil {
		return err
	}
	if passwd != nil && w.ready(root, "etc") {
		mode, gid := uint32(0o600), 0
		if id, ok := lookupGroup(group, "shadow"); ok {
			mode, gid = 0o640, id
		}
		w.put(Entry{Path: "etc/shadow", Kind: File, Mode: mode, GID: gid, Data: shadow(passwd)})
		if group != nil {
			w.put(Entry{Path: "etc/gshadow", Kind: File, Mode: mode, GID: gid, Data: gshadow(group)})
		}
	}
	if i := w.index("etc/sudoers"); i >= 0 {
		w.put(Entry{Path: "etc/sudoers", Kind: File, Mode: 0o440, Data: []byte(sudoers)})
	}
	for _, d := range runtimeDirs {
		if w.index(d.path) >= 0 {
			continue
		}
		fd, err := openBeneath(root, d.program, unix.O_PATH)
		if err != nil {
			continue // not installed
		}
		unix.Close(fd)
		if uid, gid, ok := lookupUser(passwd, d.user); ok {
			w.put(Entry{Path: d.path, Kind: Dir, Mode: 0o755, UID: uid, GID: gid})
		}
	}
	return nil
}

// ready makes sure that a directory of the root is an entry that files can be put in.
func (w *walker) ready(root int, path string) bool {
	if i := w.index(path); i >= 0 {
		return w.entries[i].Kind == Dir
	}
	st, ok, err := stat(root, path)
	if err != nil || !ok || st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Dev != w.dev {
		return false
	}
	w.entries = append(w.entries, dirEntry(path, Dir, st))
	return true
}

// put adds an entry, or replaces the one of its path. Its parent is an entry already.
func (w *walker) put(e Entry) {
	if i := w.index(e.Path); i >= 0 {
		w.entries[i] = e
		return
	}
	w.entries = append(w.entries, e)
}

func (w *walker) index(path string) int {
	return slices.IndexFunc(w.entries, func(e Entry) bool { return e.Path == path })
}

// readPublic reads a file that everybody may read; nil without an error when there is
// none, or not for everybody.
func readPublic(root int, path string) ([]byte, error) {
	fd, err := openBeneath(root, path, unix.O_RDONLY|unix.O_NONBLOCK)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EACCES):
		return nil, nil // a host without the file, or with a link in its place, has no accounts to lock
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o004 == 0 {
		return nil, nil
	}
	data := make([]byte, 0, min(st.Size+1, maxAccounts))
	for {
		if len(data) == cap(data) {
			if cap(data) >= maxAccounts {
				break
			}
			data = slices.Grow(data, 4096)
		}
		n, err := unix.Read(fd, data[len(data):cap(data)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if n == 0 {
			break
		}
		data = data[:len(data)+n]
	}
	return data, nil
}

// openBeneath opens a path below root, through no symbolic link.
func openBeneath(root int, path string, flags int) (int, error) {
	return inroot.Open(root, path, flags, unix.RESOLVE_NO_SYMLINKS)
}

// shadow renders a shadow(5) file with a password that matches nothing for each user.
// "*" rather than "!": sshd takes an account with the latter for locked altogether. The
// date of the last change is empty: no password ages.
func shadow(passwd []byte) []byte {
	var out []byte
	for f := range accounts(passwd) {
		out = append(out, f[0]...)
		out = append(out, ":*:::::::\n"...)
	}
	return out
}

// gshadow renders a gshadow(5) file with a locked password, and the members of group.
func gshadow(group []byte) []byte {
	var out []byte
	for f := range accounts(group) {
		out = append(out, f[0]...)
		out = append(out, ":*::"...)
		out = append(out, f[3]...)
		out = append(out, '\n')
	}
	return out
}

// accounts yields the fields of each well-formed line of a passwd(5) or group(5) file:
// four or more fields, of which the first is a name and not the mark of a network
// database or a comment.
func accounts(data []byte) func(yield func([][]byte) bool) {
	return func(yield func([][]byte) bool) {
		for line := range bytes.SplitSeq(data, []byte{'\n'}) {
			f := bytes.Split(line, []byte{':'})
			if len(f) < 4 || len(f[0]) == 0 || bytes.IndexByte([]byte("+-#"), f[0][0]) >= 0 {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

// lookupUser returns the ids of a user's first line in a passwd file.
func lookupUser(passwd []byte, name string) (uid, gid int, ok bool) {
	for f := range accounts(passwd) {
		if string(f[0]) == name {
			uid, err1 := strconv.ParseUint(string(f[2]), 10, 31)
			gid, err2 := strconv.ParseUint(string(f[3]), 10, 31)
			return int(uid), int(gid), err1 == nil && err2 == nil
		}
	}
	return 0, 0, false
}

// lookupGroup returns the id of a group's first line in a group file.
func lookupGroup(group []byte, name string) (gid int, ok bool) {
	for f := range accounts(group) {
		if string(f[0]) == name {
			gid, err := strconv.ParseUint(string(f[2]), 10, 31)
			return int(gid), err == nil
		}
	}
	return 0, false
}
