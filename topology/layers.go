package topology

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// mergedNames are the names in / that are symbolic links into /usr where that is merged. See file-hierarchy(7).
func mergedNames() []string { return []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} }

// CheckLayers says why directories that exist cannot be layers of a root together, the topmost first, over those of an image. Two of the
// layers overlap, which no overlay takes; or one has a directory in the place of a link into /usr below, such as
// /bin, and would take away what is reached by it. A layer with a /bin/sh in its own /bin is a root of its own and may.
func CheckLayers(layers, image []string) error {
	if a, b, yes := Overlap(layers); yes {
		if a == b {
			return fmt.Errorf("the layer %s is there twice", a)
		}
		return fmt.Errorf("the layer %s is inside the layer %s, and no overlay can have both", a, b)
	}
	all := slices.Concat(layers, image)
	for _, name := range mergedNames() {
		link := ""
		for i := len(all) - 1; i >= 0; i-- { // from the bottom
			isLayer := i < len(layers)
			dir := all[i]
			st, err := os.Lstat(filepath.Join(dir, name))
			switch {
			case err != nil: // what is not there hides nothing
			case st.Mode()&os.ModeSymlink != 0:
				if link, err = os.Readlink(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(filepath.Clean("/"+link), "/usr/") {
					link = ""
				}
			case st.IsDir() && isLayer && link != "" && !hasShell(dir):
				return fmt.Errorf("the layer %s has a directory %s, which would hide the link /%s -> %s below it, and all that is reached by it, such as %s: move what is in it to %s of the layer",
					dir, name, name, link, example(name), strings.TrimPrefix(filepath.Clean("/"+link), "/"))
			default:
				link = ""
			}
		}
	}
	return nil
}

// hasShell reports whether a layer has a shell of its own in a directory bin of its own.
func hasShell(dir string) bool {
	bin, err := os.Lstat(filepath.Join(dir, "bin"))
	if err != nil || !bin.IsDir() {
		return false
	}
	_, err = os.Lstat(filepath.Join(dir, "bin/sh"))
	return err == nil
}

// example is what people miss first when a link is gone.
func example(name string) string {
	switch name {
	case "bin":
		return "/bin/sh"
	case "sbin":
		return "/sbin/ldconfig"
	}
	return "the dynamic linker, without which next to no program runs"
}

// Overlap finds two directories of which the first is the second, or is inside it, whatever symbolic links lead there.
func Overlap(dirs []string) (inner, outer string, yes bool) {
	at := make(map[string]int, len(dirs)) // the first of each path
	paths := make([]string, len(dirs))
	for i, d := range dirs {
		var err error
		if paths[i], err = filepath.EvalSymlinks(d); err != nil {
			paths[i] = filepath.Clean(d)
		}
		if first, ok := at[paths[i]]; ok {
			return dirs[first], d, true
		}
		at[paths[i]] = i
	}
	for i, p := range paths {
		for p != "/" && p != "." {
			p = filepath.Dir(p)
			if k, ok := at[p]; ok {
				return dirs[i], dirs[k], true
			}
		}
	}
	return "", "", false
}

// rootDirs are the directories of a node's layers and of its image, unless some are the store's.
func rootDirs(n *Node) (layers, image []string, known bool) {
	for _, l := range n.Layers {
		if l.Image.Kind != ImageDir {
			return nil, nil, false
		}
		layers = append(layers, l.Image.Path)
	}
	if n.Image.Kind == ImageHost {
		return layers, []string{"/"}, true
	}
	return layers, []string{n.Image.Path}, n.Image.Kind == ImageDir
}

// layeredRoot is what is checked once for all nodes that have it.
type layeredRoot struct {
	layers *yaml.Node
	image  Image
}

// checkLayers has it said why a node's layers cannot be on top of its image, at the layers of the file.
func (r *resolver) checkLayers(n *Node, layers *yaml.Node) {
	root := layeredRoot{layers, n.Image}
	if !r.d.o.CheckFiles || len(n.Layers) == 0 || r.roots[root] {
		return
	}
	if r.roots == nil {
		r.roots = map[layeredRoot]bool{}
	}
	r.roots[root] = true
	above, image, known := rootDirs(n)
	if !known {
		return // up knows them when it has the image
	}
	if err := CheckLayers(above, image); err != nil {
		r.d.errorf(layers, "%v", err)
	}
}
