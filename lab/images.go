package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/container"
	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/topology"
)

// maxMounts is how many descriptors one message carries (SCM_MAX_FD, unix(7)), less a node's common layer, logs, and what counts for its memory.
const maxMounts = 253 - 4

// ImageUses are the images that running labs, and those that are being built, run from.
func ImageUses() ([]image.Use, error) {
	names, err := Names()
	if err != nil {
		return nil, err
	}
	var uses []image.Use
	for _, name := range names {
		dir := dirOf(name)
		if !alive(dir) {
			continue // what is dead has let go of its mounts
		}
		r, err := readRecord(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // down was quicker
		}
		if err != nil {
			return nil, &Error{Lab: name, Op: "read the record of the running lab", Err: err, Remedy: "take it down first"}
		}
		uses = append(uses, r.Images...)
	}
	return uses, nil
}

// pull makes sure that the images of the nodes to start are in the store, fetches those that are not, and fills in what
// images say about all nodes' commands. It is before anything is changed; what has been fetched stays.
func (b *builder) pull(ctx context.Context, start []topology.Node) error {
	if slices.ContainsFunc(b.lab.Nodes, func(n topology.Node) bool { return len(storedImages(&n)) > 0 }) {
		if err := b.pullImages(ctx, start); err != nil {
			return err
		}
	}
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		if text := container.TooLong(n.Command, n.Env); text != "" {
			e := commandFault(text, unix.E2BIG)
			e.Node = n.Name
			return e
		}
	}
	var err error
	b.content, err = json.Marshal(b.lab)
	return err
}

func (b *builder) pullImages(ctx context.Context, start []topology.Node) error {
	var err error
	if b.store, err = image.Open(image.Dir); err != nil {
		return err
	}
	b.store = b.store.Through(b.files.open)
	if b.hold, err = b.store.Hold(ctx); err != nil {
		return err
	}
	b.images = map[string]*image.Image{}
	fresh := byName(start)
	// Those to start come first: one of an image that the lab has still, and the store no longer, has it pulled.
	for _, stays := range []bool{false, true} {
		for i := range b.lab.Nodes {
			if n := &b.lab.Nodes[i]; (fresh[n.Name] == nil) == stays {
				if err := b.imagesOf(ctx, n, stays); err != nil {
					return &Error{Node: n.Name, Err: err}
				}
			}
		}
	}
	for _, u := range b.inUse {
		if img := b.images[u.Image]; img == nil || img.ID != u.ID {
			b.uses = append(b.uses, u)
		}
	}
	return nil
}

// imagesOf finds a node's images, and fills in what its own says. A node that stays runs from what it has.
func (b *builder) imagesOf(ctx context.Context, n *topology.Node, stays bool) error {
	layers := len(n.Layers)
	for _, i := range storedImages(n) {
		img, err := b.image(ctx, i, stays)
		if err != nil {
			return err
		}
		layers += len(img.Dirs())
	}
	if layers+len(n.Unions)+len(n.Binds) > maxMounts {
		return fmt.Errorf("%w: %d layers, %d unions and %d binds, more than %d together", ErrUnsupported, layers, len(n.Unions), len(n.Binds), maxMounts)
	}
	if n.Image.Stored() {
		applyConfig(n, &b.images[n.Image.String()].Config)
	}
	return nil
}

// storedImages are a node's image and those of its layers, as far as they are in the store.
func storedImages(n *topology.Node) []topology.Image {
	all := []topology.Image{n.Image}
	for _, l := range n.Layers {
		all = append(all, l.Image)
	}
	for _, u := range n.Unions {
		for _, l := range u.Layers {
			all = append(all, l.Image)
		}
	}
	return slices.DeleteFunc(all, func(i topology.Image) bool { return !i.Stored() })
}

// image is an image of the store, where it is put unless it is there. Of one that a running lab has the lab's will do.
func (b *builder) image(ctx context.Context, i topology.Image, runs bool) (*image.Image, error) {
	name := i.String()
	if img := b.images[name]; img != nil {
		return img, nil
	}
	img, err := b.store.Find(i)
	if use, has := b.inUse[name]; runs && has && errors.Is(err, image.ErrNotFound) {
		img, err = b.store.Used(use)
	}
	if errors.Is(err, image.ErrNotFound) {
		b.pulled = true
		img, err = b.store.Pull(ctx, i, image.PullOptions{Progress: func(done, total int) { b.step("pull "+name, done, total) }})
	}
	if err != nil {
		return nil, err
	}
	use := image.Use{Lab: b.lab.Name, Image: name, ID: img.ID}
	for _, l := range img.Layers {
		use.Layers = append(use.Layers, l.DiffID)
	}
	b.uses = append(b.uses, use)
	b.images[name] = img
	return img, nil
}

// letGo allows others to remove images again, and removes what killed pulls have left.
func (b *builder) letGo() {
	if b.hold == nil {
		return
	}
	b.hold.Close()
	b.hold = nil
	if b.pulled {
		_ = b.store.Sweep(ImageUses) // the next nsnet image command says what is wrong with the store
	}
}

// applyConfig gives a node what its image says and the file does not. As with Docker, who gives an entrypoint does not
// get the image's command behind it, and the directories that an image names are there.
func applyConfig(n *topology.Node, c *image.Config) {
	entrypoint, command := n.Entrypoint, n.Command
	if !n.EntrypointGiven {
		entrypoint = c.Entrypoint
		if !n.CommandGiven {
			command = c.Command
		}
	}
	n.Command, n.Entrypoint = slices.Concat(entrypoint, command), nil
	var env []string
	for _, e := range c.Env {
		key, _, _ := strings.Cut(e, "=")
		if !slices.ContainsFunc(n.Env, func(own string) bool { return strings.HasPrefix(own, key+"=") }) {
			env = append(env, e)
		}
	}
	n.Env = append(env, n.Env...)
	if n.User == "" {
		n.User = c.User
	}
	n.Dirs = slices.Clone(c.Volumes)
	if n.Workdir == "" && c.Workdir != "" {
		n.Workdir = c.Workdir
		n.Dirs = append(n.Dirs, c.Workdir)
	}
	applyPolicy(n, c)
}

// layersOf is the directories of an image, the topmost first.
func (m *mounter) layersOf(i topology.Image) []string {
	switch {
	case i.Stored():
		return m.images[i.String()].Dirs()
	case i.Kind == topology.ImageDir:
		return []string{i.Path}
	}
	return []string{"/"}
}
