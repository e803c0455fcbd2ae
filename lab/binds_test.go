package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/lab/proto"
	"github.com/nsnet/nsnet/topology"
)

func TestJudgeBind(t *testing.T) {
	t.Parallel()
	file, dir := fileID{dev: 1, ino: 2}, fileID{dev: 1, ino: 3, dir: true}
	on := func(id fileID) target { return target{id: id, mounted: true} }
	for _, tt := range []struct {
		name   string
		at     target
		source *fileID
		want   bindState
	}{
		{"the same", on(file), &fileID{dev: 1, ino: 2}, bindCurrent},
		{"renamed over", on(file), &fileID{dev: 1, ino: 4}, bindReplaced},
		{"the same number of another disk", on(file), &fileID{dev: 5, ino: 2}, bindReplaced},
		{"another directory", on(dir), &fileID{dev: 1, ino: 9, dir: true}, bindReplaced},
		{"a directory now", on(file), &dir, bindOther},
		{"a file now", on(dir), &file, bindOther},
		{"taken off", target{id: file}, &file, bindMissing},
		{"taken off, and a directory made there", target{id: dir}, &file, bindCurrent},
		{"gone", on(file), nil, bindGone},
	} {
		got := judgeBind(tt.at, tt.source)
		if got != tt.want {
			t.Errorf("%s: %d, not %d", tt.name, got, tt.want)
		}
		if why := got.reason(topology.Bind{Source: "/x"}); (why == "") != (got == bindCurrent) {
			t.Errorf("%s: the reason is %q", tt.name, why)
		}
	}
}

func TestHiddenBinds(t *testing.T) {
	t.Parallel()
	binds := []topology.Bind{{Target: "/a/b"}, {Target: "/ab"}, {Target: "/a"}, {Target: "/a/c"}}
	for i, want := range []bool{true, false, false, false} {
		if isHidden(binds, i) != want {
			t.Errorf("%s is hidden: %v", binds[i].Target, !want)
		}
	}
}

// What can be bound anew is; what cannot takes a new node.
func TestBindsOfAPlan(t *testing.T) {
	t.Parallel()
	n := topology.Node{Name: "n", Binds: []topology.Bind{{Source: "/a", Target: "/1"}, {Source: "/b", Target: "/2"}, {Source: "/c", Target: "/3"}, {Source: "/d", Target: "/4"}}}
	states := []bindState{bindCurrent, bindReplaced, bindOther, bindGone}
	d := &difference{rebind: map[string][]int{}}
	d.rebinds(&n, states)
	if !slices.Equal(d.rebind["n"], []int{1, 3}) || len(d.actions) != 2 || d.actions[0].Name != "n:/2" || d.actions[0].Cost != CostInPlace || !strings.Contains(d.actions[1].Reason, "is gone") {
		t.Errorf("%v, %v", d.rebind, d.actions)
	}
	if why := otherBinds(&n, states); len(why) != 1 || !strings.Contains(why[0], "bind /3: /c was a file and is a directory now") {
		t.Errorf("%q", why)
	}
}

func TestOtherDirs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{"root", "layer", "union"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	image := func(name string) topology.Image {
		return topology.Image{Kind: topology.ImageDir, Path: filepath.Join(dir, name)}
	}
	n := topology.Node{Image: image("root"), Layers: []topology.Layer{{Image: image("layer")}}, Unions: []topology.Union{{Layers: []topology.Layer{{Image: image("union")}, {Image: image("union")}}}}}
	made := proto.Made{Dirs: map[string]string{}}
	if why := otherDirs(&n, &made); why != nil {
		t.Errorf("of directories that nothing is known of: %q", why)
	}
	for _, d := range dirsOf(&n) {
		id, err := sourceOf(d)
		must(t, err)
		made.Dirs[d] = id.String()
	}
	if why := otherDirs(&n, &made); why != nil {
		t.Errorf("of what is as it was: %q", why)
	}
	must(t, os.Rename(filepath.Join(dir, "union"), filepath.Join(dir, "old")))
	if why := otherDirs(&n, &made); why != nil {
		t.Errorf("of what is gone, which the file's reader tells: %q", why)
	}
	must(t, os.Mkdir(filepath.Join(dir, "union"), 0o755))
	if why := otherDirs(&n, &made); len(why) != 1 || !strings.Contains(why[0], "union is another directory now") {
		t.Errorf("%q", why)
	}
	if got := Sources(&topology.Lab{Nodes: []topology.Node{n, {Binds: []topology.Bind{{Source: "/b"}, {Source: "/a"}}}}}); len(got) != 5 || got[0] != "/a" {
		t.Errorf("sources are %q", got)
	}
}
