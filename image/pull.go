package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image/registry"
	"github.com/nsnet/nsnet/image/unpack"
	"github.com/nsnet/nsnet/internal/failpoint"
	"github.com/nsnet/nsnet/internal/lockfile"
	"github.com/nsnet/nsnet/topology"
)

// parallel is how many layers are fetched at a time: unpacking keeps a processor busy, and a registry far away keeps it
// waiting.
func parallel() int { return runtime.NumCPU() + 1 }

// Pull gets an image from its source, whether the store has it or not; layers that are there are not fetched again. It
// waits for others who fetch the same layer. What is in the store under the name stays until the new one is whole.
func (s *Store) Pull(ctx context.Context, i topology.Image, o PullOptions) (*Image, error) {
	name := o.As
	if name == "" {
		name = i.String()
	}
	if !i.Stored() {
		return nil, &Error{Image: name, Op: "pull", Err: fmt.Errorf("%w: it has no layers", ErrMalformed)}
	}
	hold, err := s.Hold(ctx)
	if err != nil {
		return nil, err
	}
	defer hold.Close()
	o.budget = &unpack.Budget{}
	return s.pull(ctx, i, name, &o)
}

func (s *Store) pull(ctx context.Context, i topology.Image, name string, o *PullOptions) (*Image, error) {
	if o.Limits == (unpack.Limits{}) {
		o.Limits = unpack.DefaultLimits()
	}
	fail := func(op string, err error) error { return explain(name, op, cancelled(ctx, err)) }
	src, err := s.source(ctx, i, o)
	if err != nil {
		return nil, fail("open", err)
	}
	defer src.close()
	f, err := src.find(ctx)
	if err != nil {
		return nil, fail("find", err)
	}
	config, err := parseConfig(f.config)
	if err == nil && len(config.RootFS.DiffIDs) != len(f.layers) {
		err = fmt.Errorf("%w: its manifest has %d layers, its configuration %d", ErrMalformed, len(f.layers), len(config.RootFS.DiffIDs))
	}
	if err != nil {
		return nil, fail("find", err)
	}
	img := &Image{Name: name, ID: digestOf(f.config), Platform: config.OS + "/" + config.Architecture, Pulled: time.Now().UTC(),
		Config: config.public(), stamp: f.stamp, store: s.dir}
	if name != i.String() {
		img.Source = i.String()
	}
	if img.Layers, err = s.fetch(ctx, name, src, f, config.RootFS.DiffIDs, o); err != nil {
		return nil, err
	}
	blobs := [][]byte{f.config}
	if f.manifest != nil {
		img.Digest = digestOf(f.manifest)
		blobs = append(blobs, f.manifest)
	}
	for _, b := range blobs {
		if err := s.write(filepath.Join(s.blobs(), baseName(digestOf(b))), b); err != nil {
			return nil, err
		}
	}
	b, err := json.MarshalIndent(record{*img, img.stamp, parsed}, "", "  ")
	if err != nil {
		return nil, fail("record", err)
	}
	return img, s.write(s.nameFile(name), append(b, '\n'))
}

// fetch gets all layers, some at a time.
func (s *Store) fetch(ctx context.Context, name string, src source, f *found, diffIDs []string, o *PullOptions) ([]Layer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	layers := make([]Layer, len(diffIDs))
	slots := make(chan struct{}, parallel())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	done := 0
	if o.Progress != nil {
		o.Progress(0, len(diffIDs))
	}
	for i, diffID := range diffIDs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			l, err := s.layer(ctx, src, i, f.layers[i], diffID, o)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if first == nil {
					first = layerError(name, diffID, err)
					cancel() // the others' work is for nothing
				}
				return
			}
			layers[i] = l
			if done++; o.Progress != nil {
				o.Progress(done, len(diffIDs))
			}
		})
	}
	wg.Wait()
	return layers, first
}

func layerError(name, diffID string, err error) error {
	wrapped := explain(name, "unpack", err)
	var e *Error
	if errors.As(wrapped, &e) {
		e.Layer = ShortID(diffID)
	}
	return wrapped
}

// layer makes sure that a layer is in the store.
func (s *Store) layer(ctx context.Context, src source, i int, d descriptor, diffID string, o *PullOptions) (Layer, error) {
	if err := ctx.Err(); err != nil {
		return Layer{}, context.Cause(ctx)
	}
	dir := s.layerDir(diffID)
	if l, err := readLayer(dir); err == nil {
		return l, nil
	}
	// Locks are removed by who holds the store alone, so that this name is the lock as long as we hold the store.
	if err := failpoint.Hit("create the lock of", dir); err != nil {
		return Layer{}, err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return Layer{}, err
	}
	defer lock.Close()
	if err := lockfile.Wait(ctx, lock, lockfile.Exclusive, "a layer of the image, which somebody else makes"); err != nil {
		return Layer{}, err
	}
	l, err := readLayer(dir)
	if err == nil {
		return l, nil // somebody else has just made it
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Layer{}, err
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil { // of one that was killed
		return Layer{}, err
	}
	l = Layer{DiffID: diffID}
	if l.Size, err = s.make(ctx, src, i, d, diffID, part, o); err != nil {
		return Layer{}, errors.Join(err, os.RemoveAll(part))
	}
	if err := failpoint.Hit("rename", dir); err != nil {
		return Layer{}, err
	}
	if err := os.Rename(part, dir); err != nil {
		return Layer{}, err
	}
	return l, nil
}

// readLayer is what the store knows of a layer that it has.
func readLayer(dir string) (Layer, error) {
	var l Layer
	b, err := os.ReadFile(filepath.Join(dir, "layer.json"))
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	return l, err
}

// make unpacks a layer, verified, and on disk when it returns.
func (s *Store) make(ctx context.Context, src source, i int, d descriptor, diffID, part string, o *PullOptions) (int64, error) {
	root := filepath.Join(part, "fs")
	if err := failpoint.Hit("mkdir", part); err != nil {
		return 0, err
	}
	if err := os.Mkdir(part, 0o700); err != nil {
		return 0, err
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		return 0, err
	}
	if err := os.Chmod(root, 0o755); err != nil { // whatever the umask
		return 0, err
	}
	body, err := src.layer(ctx, i)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	sum := sha256.New()
	in := &bounded{r: io.TeeReader(body, sum), left: d.Size}
	res, err := unpack.Unpack(ctx, root, in, unpack.Options{Limits: o.Limits, Budget: o.budget, KeepOwner: os.Geteuid() == 0})
	if err != nil {
		return 0, err
	}
	if d.Digest != "" {
		if _, err := io.Copy(io.Discard, in); err != nil {
			return 0, err
		}
		if err := verify("the compressed layer", d.Digest, "sha256:"+hex.EncodeToString(sum.Sum(nil))); err != nil {
			return 0, err
		}
	}
	if err := verify("the layer", diffID, res.DiffID); err != nil {
		return 0, err
	}
	b, err := json.Marshal(Layer{diffID, res.Size})
	if err != nil {
		return 0, err
	}
	if err := failpoint.Hit("describe", part); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(part, "layer.json"), b, 0o600); err != nil {
		return 0, err
	}
	if err := failpoint.Hit("sync", part); err != nil {
		return 0, err
	}
	return res.Size, syncTree(part)
}

// syncTree puts all of a directory's file system on disk: after a power cut a file that was renamed and not
// written is empty. Each file by itself would take longer. syncfs(2).
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// bounded is a stream that is an error beyond its promised length.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: it is longer than was promised", ErrDigest)
	}
	return n, err
}

const networkRemedy = "check the network, or bring the image here as an archive and use nsnet image import"

// explain makes an error of a pull one with a remedy, where there is one.
func explain(name, op string, err error) error {
	var own *Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	e := &Error{Image: name, Op: op, Err: err}
	var socket *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		e.Op = "pull"
	case errors.Is(err, registry.ErrNotFound):
		e.Err, e.Remedy = fmt.Errorf("%w: %w", ErrNotFound, err), "check its name and tag; for an image of the machine's Docker write docker-daemon:NAME"
	case errors.Is(err, registry.ErrDenied):
		// Registries such as Docker's say so of what they do not have, too.
		e.Err, e.Remedy = fmt.Errorf("%w, or it is not for everybody: %w", ErrNotFound, err), "check its name, or log in: sudo docker login"
	case errors.Is(err, registry.ErrTooMany):
		e.Remedy = "try again later, or log in, which most registries give more to: sudo docker login"
	case errors.Is(err, registry.ErrCut):
		e.Remedy = networkRemedy
	case errors.Is(err, registry.ErrUnavailable):
		e.Remedy = "try again later"
	case errors.Is(err, ErrNotFound): // it says what there is
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Remedy = "make room below " + filepath.Dir(Dir) + "; nsnet image rm removes images"
	case errors.Is(err, ErrDigest):
		e.Remedy = "try again; if it stays, do not trust where it comes from"
	case errors.Is(err, unpack.ErrLimit), errors.Is(err, unpack.ErrRefused):
		e.Remedy = "no part of it was kept"
	case errors.Is(err, unpack.ErrCompression):
		e.Remedy = "build the image with layers of gzip or zstd, or pull it with docker and use docker-daemon:NAME"
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrPlatform):
	case errors.As(err, &socket) && socket.Net == "unix":
		e.Remedy = "start Docker, or name its socket with DOCKER_HOST"
	case isNetwork(err):
		e.Remedy = networkRemedy
	}
	return e
}

// isNetwork tells whether an error is the network's. An errno alone, which is a [net.Error] by its methods, comes from a file.
func isNetwork(err error) bool {
	var network net.Error
	if !errors.As(err, &network) {
		return false
	}
	_, file := network.(unix.Errno)
	return !file
}
