package consent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Setting is the file that lists directories whose topology files are trusted, one a line; a line that begins with # is a comment.
const Setting = "/etc/nsnet/trust"

// Trusts reports whether the file at a path without symbolic links may have all that it asks for: it is in or below a directory that the
// setting lists, and nobody but root can write the file, the directories above it or the setting. The error is why the setting, which
// lists the file's directory, does not hold.
func Trusts(setting, path string) (bool, error) {
	b, err := os.ReadFile(setting)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s is not followed: %w", setting, err)
	}
	if !lists(string(b), path) {
		return false, nil
	}
	for _, p := range []string{setting, path} {
		if err := rootAlone(p); err != nil {
			return false, fmt.Errorf("%s is not followed: %w", setting, err)
		}
	}
	return true, nil
}

// lists reports whether a setting lists a directory above a path.
func lists(setting, path string) bool {
	for line := range strings.Lines(setting) {
		dir := strings.TrimSpace(line)
		if !filepath.IsAbs(dir) {
			continue
		}
		dir = filepath.Clean(dir)
		if rest, ok := strings.CutPrefix(path, dir); ok && (dir == "/" || strings.HasPrefix(rest, "/")) {
			return true
		}
	}
	return false
}

// rootAlone says why somebody else than root can change what is at a path. An access control list shows in the bits of the group
// (acl(5)), and a sticky directory that all may write lets them make files.
func rootAlone(path string) error {
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return fmt.Errorf("look at %s: %w", p, err)
		}
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFLNK:
			return fmt.Errorf("%s is a symbolic link", p)
		case st.Uid != 0:
			return fmt.Errorf("%s belongs to uid %d, and not to root", p, st.Uid)
		case st.Mode&0o022 != 0:
			return fmt.Errorf("%s can be written by others than root", p)
		}
		if p == "/" {
			return nil
		}
	}
}
