package lab

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

func TestOtherImages(t *testing.T) {
	t.Parallel()
	app, base := topology.Image{Kind: topology.ImageRegistry, Name: "app:1"}, topology.Image{Kind: topology.ImageOCI, Path: "/base"}
	n := topology.Node{Image: app, Layers: []topology.Layer{{Image: base}, {Image: topology.Image{Kind: topology.ImageDir, Path: "/d"}}},
		Unions: []topology.Union{{Path: "/mnt", Layers: []topology.Layer{{Image: base}}}}}
	one, two := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	made := proto.Made{Images: map[string]string{app.String(): one, base.String(): one}}
	for name, tt := range map[string]struct {
		app, base imageNow
		want      string
	}{
		"the same":            {imageNow{id: one}, imageNow{id: one}, ""},
		"there is no telling": {imageNow{}, imageNow{}, ""},
		"the image":           {imageNow{id: two}, imageNow{id: one}, "its image " + app.String() + " is another one now: 111111111111 -> 222222222222"},
		"a layer, twice":      {imageNow{id: one}, imageNow{id: two}, "its image oci:/base is another one now: 111111111111 -> 222222222222"},
		"cannot be read":      {imageNow{id: one}, imageNow{err: errors.New("not an image")}, "its image oci:/base is another one now: not an image"},
	} {
		got := otherImages(&n, &made, map[string]imageNow{app.String(): tt.app, base.String(): tt.base})
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%s: %q, and not %q", name, got, tt.want)
		}
	}
	if got := otherImages(&n, &proto.Made{}, map[string]imageNow{app.String(): {id: two}}); got != nil {
		t.Errorf("an image that the file names only now: %q", got)
	}
}

func TestOtherStorage(t *testing.T) {
	t.Parallel()
	ro, rw, first := []topology.Layer{{}}, []topology.Layer{{Writable: true}, {Writable: true}}, []topology.Layer{{Writable: true}, {}}
	dir := topology.Image{Kind: topology.ImageDir}
	root := func(driver string, asked bool) proto.Storage {
		return proto.Storage{Path: "/", Driver: driver, Asked: asked}
	}
	mnt := func(driver string, asked bool) proto.Storage {
		return proto.Storage{Path: "/mnt", Driver: driver, Asked: asked}
	}
	union := func(layers []topology.Layer, storage string) []topology.Union {
		return []topology.Union{{Path: "/mnt", Layers: layers, Storage: storage}}
	}
	for name, tt := range map[string]struct {
		node topology.Node
		made []proto.Storage
		want string
	}{
		"nothing to choose":                      {topology.Node{}, nil, ""},
		"a root that was not asked for":          {topology.Node{Storage: "copy", Image: dir}, nil, "storage of /: overlay -> copy"},
		"no root is on fuse":                     {topology.Node{Storage: "fuse"}, nil, ""},
		"a root that cannot be":                  {topology.Node{Storage: "copy"}, nil, "too much to be copied"},
		"chosen by nsnet":                        {topology.Node{Unions: union(ro, "")}, []proto.Storage{root("overlay", false), mnt("copy", false)}, ""},
		"chosen by the command line":             {topology.Node{Image: dir, Unions: union(ro, "")}, []proto.Storage{root("copy", false), mnt("fuse", false)}, ""},
		"asked for, and so it is":                {topology.Node{Unions: union(ro, "copy")}, []proto.Storage{root("overlay", false), mnt("copy", false)}, ""},
		"asked for, and it is another":           {topology.Node{Unions: union(ro, "copy")}, []proto.Storage{root("overlay", false), mnt("overlay", false)}, "storage of /mnt: overlay -> copy"},
		"no longer asked for":                    {topology.Node{Image: dir, Unions: union(ro, "")}, []proto.Storage{root("copy", true), mnt("copy", true)}, "storage of /: copy -> overlay|storage of /mnt: copy -> overlay"},
		"no longer asked for, which is chosen":   {topology.Node{Unions: union(ro, "")}, []proto.Storage{root("overlay", true), mnt("overlay", true)}, ""},
		"no longer asked for, written in place":  {topology.Node{Unions: union(rw, "")}, []proto.Storage{root("overlay", true), mnt("fuse", true)}, ""},
		"no longer asked for, the first written": {topology.Node{Unions: union(first, "")}, []proto.Storage{root("overlay", true), mnt("fuse", true)}, "storage of /mnt: fuse -> overlay"},
		"a union that is gone":                   {topology.Node{}, []proto.Storage{root("overlay", false), mnt("fuse", true)}, ""},
	} {
		if tt.node.Image.Kind == "" {
			tt.node.Image.Kind = topology.ImageHost
		}
		got := strings.Join(otherStorage(&tt.node, &proto.Made{Storage: tt.made}), "|")
		if got != tt.want && (tt.want != "too much to be copied" || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: %q, and not %q", name, got, tt.want)
		}
	}
}
