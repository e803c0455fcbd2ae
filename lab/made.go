package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

// made is what a node to start is made of that the file does not say, for its lab init to keep.
func (b *builder) made(n *topology.Node) proto.Made {
	m := proto.Made{Storage: b.storage[n.Name]}
	for _, i := range storedImages(n) {
		if m.Images == nil {
			m.Images = map[string]string{}
		}
		m.Images[i.String()] = b.images[i.String()].ID
	}
	for _, dir := range dirsOf(n) {
		if id, err := b.files.idOf(dir); err == nil {
			if m.Dirs == nil {
				m.Dirs = map[string]string{}
			}
			m.Dirs[dir] = id.String()
		}
	}
	return m
}

// dirsOf are the directories of the host that a node's root and unions are made of.
func dirsOf(n *topology.Node) (dirs []string) {
	add := func(i topology.Image) {
		if i.Kind == topology.ImageDir {
			dirs = append(dirs, i.Path)
		}
	}
	add(n.Image)
	for i := range n.Layers {
		add(n.Layers[i].Image)
	}
	for i := range n.Unions {
		for j := range n.Unions[i].Layers {
			add(n.Unions[i].Layers[j].Image)
		}
	}
	return dirs
}

// otherDirs tells of directories that were replaced by others of the same name since the node was started.
func otherDirs(n *topology.Node, made *proto.Made) (why []string) {
	for _, dir := range dirsOf(n) {
		was := made.Dirs[dir]
		if was == "" { // the file names it only now
			continue
		}
		id, err := sourceOf(dir)
		if text := dir + " is another directory now"; err == nil && id != nil && id.String() != was && !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	return why
}

// keepMade resolves what nodes that stay were made of: a driver stays chosen, and an image is what it was when they started.
func (b *builder) keepMade(running *record, seen *observed, todo *difference) {
	b.inUse = map[string]image.Use{}
	fresh := byName(todo.add)
	for i := range b.lab.Nodes {
		n := &b.lab.Nodes[i]
		s := seen.nodes[n.Name]
		if s == nil || fresh[n.Name] != nil {
			continue
		}
		maps.Copy(b.inUse, usesOf(running, &s.Made))
		setStorage(n, s.Made.Storage)
	}
}

// usesOf are the images that a node runs from, by name, whatever the names stand for by now.
func usesOf(r *record, made *proto.Made) map[string]image.Use {
	uses := map[string]image.Use{}
	for _, u := range r.Images {
		if id := made.Images[u.Image]; id != "" && id == u.ID {
			uses[u.Image] = u
		}
	}
	return uses
}

// imageNow is what an image of the file stands for now.
type imageNow struct {
	id     string        // empty: there is no telling
	config *image.Config // nil: it is not known
	err    error         // it has changed, and cannot be read
}

// lookAtImages finds out what the images of nodes stand for now, as a new lab would get them. The store alone is asked, and
// sources that are files. Of an image that the store no longer has, or whose file is gone, there is no telling, and what runs from
// it is left alone.
func (o *observed) lookAtImages(want *topology.Lab) {
	o.images = map[string]imageNow{}
	var store *image.Store
	for i := range want.Nodes {
		for _, img := range storedImages(&want.Nodes[i]) {
			name := img.String()
			if _, known := o.images[name]; known {
				continue
			}
			var now imageNow
			if store == nil {
				var err error
				if store, err = image.OpenExisting(image.Dir); err != nil {
					return
				}
				store = store.Through(filesOf(want).open)
			}
			found, err := store.Find(img)
			switch {
			case err == nil:
				now.id, now.config = found.ID, &found.Config
			case errors.Is(err, image.ErrChanged):
				now.id, now.err = store.Peek(context.Background(), img)
			}
			o.images[name] = now
		}
	}
}

// resolved is a node with what its image says, as far as that is known.
func (o *observed) resolved(n *topology.Node) *topology.Node {
	r := *n
	if c := o.images[n.Image.String()].config; n.Image.Stored() && c != nil {
		applyConfig(&r, c)
	}
	return &r
}

// otherwise tells in what a node that runs was made otherwise than one that is started now would be.
func (o *observed) otherwise(n *topology.Node, s *proto.NodeState) []string {
	return slices.Concat(otherImages(n, &s.Made, o.images), otherStorage(n, &s.Made), otherDirs(n, &s.Made), otherBinds(n, o.binds[n.Name]), lostUnions(s), tooManyProcesses(&n.Limits, &s.Made))
}

// lostUnions tells of unions whose servers have ended: whoever looks there is told "transport endpoint is not connected".
func lostUnions(s *proto.NodeState) (why []string) {
	for _, path := range s.Lost {
		why = append(why, "the server of its union "+path+" has ended")
	}
	return why
}

func otherImages(n *topology.Node, made *proto.Made, images map[string]imageNow) (why []string) {
	for _, i := range storedImages(n) {
		was, now := made.Images[i.String()], images[i.String()]
		var text string
		switch {
		case was == "": // the file names it only now
			continue
		case now.err != nil:
			text = fmt.Sprintf("its image %s is another one now: %v", i, now.err)
		case now.id != "" && now.id != was:
			text = fmt.Sprintf("its image %s is another one now: %s -> %s", i, image.ShortID(was), image.ShortID(now.id))
		default:
			continue
		}
		if !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	return why
}

// otherStorage compares drivers. One that nsnet or the command line has chosen stays until the file or the command line names
// another; what the file has named is chosen anew when it names none.
func otherStorage(n *topology.Node, made *proto.Made) (why []string) {
	root, err := rootStorage(n)
	if err != nil {
		return []string{"storage of its root: " + err.Error()}
	}
	all := made.Storage
	if len(all) == 0 { // there was no choice
		all = []proto.Storage{{Path: "/", Driver: topology.StorageOverlay}}
	}
	for _, was := range all {
		want, choice := "", topology.StorageOverlay
		if was.Path == "/" {
			if n.Storage != "" {
				want = root.Driver
			}
		} else {
			i := slices.IndexFunc(n.Unions, func(u topology.Union) bool { return u.Path == was.Path })
			if i < 0 {
				continue // the file has no such union any more
			}
			if want = n.Unions[i].Storage; n.Unions[i].Writes() && !n.Unions[i].WritesFirst() {
				choice = topology.StorageFuse
			}
		}
		if want == "" && was.Asked {
			want = choice
		}
		if want != "" && want != was.Driver {
			why = append(why, fmt.Sprintf("storage of %s: %s -> %s", was.Path, was.Driver, want))
		}
	}
	return why
}
