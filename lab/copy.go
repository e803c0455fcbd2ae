package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container/nodeinit"
	"github.com/nsnet/nsnet/container/transfer"
	"github.com/nsnet/nsnet/internal/printable"
)

// CopyOptions say what Copy copies between the host and a node. One of FromNode and ToNode is given, and
// both are paths in the node, absolute or from its root.
type CopyOptions struct {
	Lab, Node string
	FromNode  string // copied to Host
	ToNode    string // what Host is copied to
	Host      string // a path of the host
	Note      func(string)
}

// Copy copies a file or a directory out of a node or into it, as cp(1) does: to a directory that is there
// under its own name, else as what is named; a source that ends in "/." gives its content. Owners are
// not kept, nor are hard links, and what is no file, directory or symbolic link is left out, with a Note. The node's end is
// nsnet itself, started by the node's init, so that no program of the node is needed. No signal is caught; when ctx ends it ends with the cause of that.
func Copy(ctx context.Context, o CopyOptions) error {
	var err error
	if o.FromNode != "" {
		err = copyOut(ctx, o)
	} else {
		err = copyIn(ctx, o)
	}
	if err != nil && ctx.Err() != nil { // whatever came of that on both sides
		return &Error{Lab: o.Lab, Node: o.Node, Op: "copy", Err: context.Cause(ctx)}
	}
	var own *Error
	if err != nil && !errors.As(err, &own) {
		err = &Error{Lab: o.Lab, Node: o.Node, Op: "copy", Err: printable.Error(err)} // files of others have names with line feeds
	}
	return err
}

// copyOut has the node pack and unpacks here.
func copyOut(ctx context.Context, o CopyOptions) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	unpacked := make(chan error, 1)
	go func() {
		err := transfer.Unpack(r, transfer.Typed, o.Host, baseOf(o.FromNode))
		if err == nil {
			_, err = io.Copy(io.Discard, r) // padding
		}
		_ = r.Close() // the node's end does not wait for a reader that has given up
		unpacked <- err
	}()
	err = copyEnd(ctx, o, nil, w, transfer.OpPack, nodePath(o.FromNode))
	_ = w.Close()
	here := <-unpacked
	if err != nil && (here == nil || errors.Is(here, io.ErrUnexpectedEOF) || errors.Is(here, transfer.ErrEmpty)) {
		return err // why the archive has ended
	}
	return here
}

// copyIn packs here and has the node unpack.
func copyIn(ctx context.Context, o CopyOptions) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	packed := make(chan error, 1)
	go func() {
		err := transfer.Pack(w, transfer.Typed, o.Host, o.Note)
		_ = w.Close()
		packed <- err
	}()
	base := baseOf(o.Host)
	if base != "." { // of the file itself, wherever a relative path leads
		if abs, err := filepath.Abs(o.Host); err == nil {
			base = baseOf(abs)
		}
	}
	err = copyEnd(ctx, o, r, nil, transfer.OpUnpack, nodePath(o.ToNode), base)
	_ = r.Close()
	here := <-packed
	if here != nil && !errors.Is(here, os.ErrClosed) && !errors.Is(here, unix.EPIPE) {
		return here // the node's end saw an archive that ends early
	}
	return err
}

// maxSaid bounds what the node's end says.
const maxSaid = 16 << 10

// copyEnd runs the node's end, and returns what that has said as an error if it failed, or gives it to
// Note.
func copyEnd(ctx context.Context, o CopyOptions, in, out *os.File, args ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	said := make(chan string, 1)
	go func() {
		defer r.Close()
		b, _ := io.ReadAll(io.LimitReader(r, maxSaid))
		_, _ = io.Copy(io.Discard, r)
		said <- strings.TrimSpace(string(bytes.ToValidUTF8(b, nil)))
	}()
	code, err := run(ctx, ExecOptions{
		Lab: o.Lab, Node: o.Node, Argv: append([]string{transfer.Name}, args...), Env: []string{nodeinit.EnvKey + "=" + transfer.EnvValue},
		Workdir: "/", User: "0:0", Stdin: in, Stdout: out, Stderr: w, ByContext: true,
	}, true)
	_ = w.Close()
	text := <-said
	switch {
	case errors.Is(err, ErrNoCommand), err == nil && code != 0 && transfer.IsUnknown(text):
		return fmt.Errorf("%w: the lab was brought up by an nsnet that could not", ErrUnsupported)
	case errors.Is(err, ErrPaused): // of which Exec says that it runs a command
		var e *Error
		if errors.As(err, &e) {
			e.Op = "copy"
		}
		return err
	case err != nil:
		return err
	case code != 0 && text == "":
		return fmt.Errorf("the node's end has ended with exit code %d", code)
	case code != 0:
		return errors.New(text)
	case text != "" && o.Note != nil:
		for line := range strings.SplitSeq(text, "\n") {
			o.Note(line)
		}
	}
	return nil
}

// baseOf returns the name under which a source goes into a directory, "." where its content does.
func baseOf(path string) string {
	if strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..") {
		return "."
	}
	switch base := filepath.Base(path); base {
	case "/", "..":
		return "."
	default:
		return base
	}
}

// nodePath returns an absolute path of a node. A slash at its end stays: it says that there is to be a
// directory.
func nodePath(path string) string {
	abs := filepath.Join("/", path)
	if strings.HasSuffix(path, "/") && abs != "/" {
		abs += "/"
	}
	return abs
}
