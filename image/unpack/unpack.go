package unpack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/inroot"
)

// Errors that a caller may tell apart with errors.Is.
var (
	ErrRefused     = errors.New("refused") // no tool makes an archive like this one
	ErrCompression = errors.New("compression is not supported")
)

// Options say how to unpack. The zero value has no limits and leaves all files to the caller.
type Options struct {
	Limits    Limits
	Budget    *Budget // of the image that the layer is of; nil: the layer is alone
	KeepOwner bool    // files get the owners that the archive says, which takes root
}

// Result is what became of a layer.
type Result struct {
	DiffID  string // "sha256:" and the digest of the uncompressed archive
	Size    int64  // of the files' contents
	Entries int
	Skipped int // devices, which a node has of its own
}

// Unpack makes the layer that r is, compressed with gzip or zstd or not at all, in the empty directory dir. When it fails,
// what is in dir is of no use.
func Unpack(ctx context.Context, dir string, r io.Reader, o Options) (Result, error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Result{}, fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(root)
	in := &counter{r: r}
	plain, err := decompress(in)
	if err != nil {
		return Result{}, err
	}
	defer plain.Close()
	sum := sha256.New()
	early := readAhead(&meter{r: plain, in: in, limits: &o.Limits})
	defer early.Close()
	stream := io.TeeReader(early, sum)
	u := &unpacker{root: root, o: o, in: in}
	if err := u.all(ctx, tar.NewReader(stream)); err != nil {
		return u.res, err
	}
	// What follows the archive's end is part of its digest.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return u.res, fmt.Errorf("read to the end: %w", err)
	}
	u.res.DiffID = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return u.res, nil
}

// unpacker is one layer in progress.
type unpacker struct {
	root  int
	o     Options
	in    *counter
	res   Result
	links bool      // there are aufs's links
	dirs  []dirTime // set last: what is made in a directory changes its time
}

type dirTime struct {
	name string
	time unix.Timespec
}

func (u *unpacker) all(ctx context.Context, t *tar.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if u.res.Entries++; u.o.Limits.Entries > 0 && u.res.Entries > u.o.Limits.Entries {
			return fmt.Errorf("%w: more than %d entries", ErrLimit, u.o.Limits.Entries)
		}
		if err := failpoint.Hit("unpack", h.Name); err != nil {
			return err
		}
		if err := u.entry(h, t); err != nil {
			return fmt.Errorf("entry %q: %w", shorten(h.Name), err)
		}
	}
	if err := u.dropLinks(); err != nil {
		return err
	}
	for _, d := range u.dirs {
		if err := u.setDirTime(d); err != nil {
			return fmt.Errorf("entry %q: %w", shorten(d.name), err)
		}
	}
	return nil
}

// shorten keeps a name of a hostile archive from filling a screen.
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// Whiteouts, as archives spell them.
const (
	whPrefix = ".wh."
	whOpaque = ".wh..wh..opq"
)

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	name, err := u.clean(h.Name)
	if err != nil {
		return err
	}
	base := path.Base(name)
	switch {
	case isAufs(name):
		return nil
	case isLinks(name):
		u.links = true
	case strings.HasPrefix(base, whPrefix):
		return u.whiteout(path.Dir(name), base)
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeChar, tar.TypeBlock:
		u.res.Skipped++
		return nil
	case tar.TypeDir:
		if isLinks(name) {
			return nil
		}
		return u.directory(name, h)
	}
	if name == "." {
		return fmt.Errorf("%w: the image's root is not a directory", ErrRefused)
	}
	parent, err := u.parent(path.Dir(name))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if h.Typeflag == tar.TypeLink {
		return u.hardLink(parent, base, name, h)
	}
	if err := u.clear(parent, base); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeRegA, tar.TypeCont, tar.TypeGNUSparse: //nolint:staticcheck // old archives have TypeRegA
		return u.file(parent, base, h, r)
	case tar.TypeSymlink:
		if len(h.Linkname) == 0 || len(h.Linkname) >= unix.PathMax {
			return fmt.Errorf("%w: a symbolic link to a name of %d bytes", ErrRefused, len(h.Linkname))
		}
		if err := unix.Symlinkat(h.Linkname, parent, base); err != nil {
			return fmt.Errorf("create the symbolic link: %w", err)
		}
	case tar.TypeFifo:
		if err := unix.Mknodat(parent, base, unix.S_IFIFO|0o600, 0); err != nil {
			return fmt.Errorf("create the fifo: %w", err)
		}
	default:
		return fmt.Errorf("%w: unknown type %q", ErrRefused, h.Typeflag)
	}
	return u.attributesAt(parent, base, h)
}

// clean is an entry's name from the image's root; "." is the root itself.
func (u *unpacker) clean(name string) (string, error) {
	l := &u.o.Limits
	if l.Path > 0 && len(name) > l.Path {
		return "", fmt.Errorf("%w: a name of %d bytes", ErrLimit, len(name))
	}
	clean := path.Clean("/" + name)[1:]
	if clean == "" {
		clean = "."
	}
	elements := strings.Split(name, "/")
	for i, e := range elements {
		switch {
		case e == "..":
			return "", fmt.Errorf(`%w: ".." in a name`, ErrRefused)
		case strings.IndexByte(e, 0) >= 0:
			return "", fmt.Errorf("%w: a zero byte in a name", ErrRefused)
		case strings.HasPrefix(e, whPrefix) && i < len(elements)-1 && !isAufs(clean) && !isLinks(clean):
			return "", fmt.Errorf("%w: something in a whiteout", ErrRefused)
		case len(e) > unix.NAME_MAX:
			return "", fmt.Errorf("%w: an element of %d bytes", ErrLimit, len(e))
		}
	}
	if l.Depth > 0 && strings.Count(clean, "/") > l.Depth {
		return "", fmt.Errorf("%w: more than %d directories deep", ErrLimit, l.Depth)
	}
	return clean, nil
}

// resolve opens a name of the image as the image's own root would: links lead nowhere else.
func (u *unpacker) resolve(name string, flags int) (int, error) {
	return inroot.Open(u.root, name, flags, unix.RESOLVE_NO_XDEV)
}

// parent opens a directory of the image, and makes what is missing of it: archives need not have an entry for each.
func (u *unpacker) parent(dir string) (int, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY
	fd, err := u.resolve(dir, flags)
	if !errors.Is(err, unix.ENOENT) {
		return fd, parentError(dir, err)
	}
	up, err := u.parent(path.Dir(dir))
	if err != nil {
		return -1, err
	}
	defer unix.Close(up)
	base := path.Base(dir)
	if err := unix.Mkdirat(up, base, 0o755); err != nil {
		return -1, parentError(dir, err)
	}
	fd, err = u.resolve(dir, flags)
	return fd, parentError(dir, err)
}

func parentError(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: it is in %q, a symbolic link to nothing", ErrRefused, shorten(dir))
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w: it is in %q: %w", ErrRefused, shorten(dir), err)
	}
	return fmt.Errorf("open %q: %w", shorten(dir), err)
}
