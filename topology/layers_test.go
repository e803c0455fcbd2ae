package topology

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes directories, files, and links where there is "->".
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, e := range entries {
		path, to, isLink := strings.Cut(e, "->")
		full := filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(to, full)
		case strings.HasSuffix(path, "/"):
			err = os.MkdirAll(full, 0o755)
		default:
			err = os.WriteFile(full, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckLayers(t *testing.T) {
	t.Parallel()
	merged := tree(t, "bin->usr/bin", "sbin->/usr/sbin", "lib->usr/lib", "lib64->usr/lib64", "usr/bin/sh")
	apart := tree(t, "bin/sh", "sbin/", "lib/", "usr/bin/")
	site, empty := tree(t, "usr/bin/x", "srv/y"), tree(t)
	bin, whole := tree(t, "bin/router.sh"), tree(t, "bin/sh", "lib/", "usr/")
	for _, tt := range []struct {
		name          string
		layers, image []string
		want          string
	}{
		{"nothing in the way", []string{site, empty}, []string{merged}, ""},
		{"bin", []string{site, bin}, []string{merged}, "the layer " + bin + " has a directory bin, which would hide the link /bin -> usr/bin below it, and all that is reached by it, such as /bin/sh: move what is in it to usr/bin of the layer"},
		{"sbin", []string{tree(t, "sbin/")}, []string{merged}, "the link /sbin -> /usr/sbin"},
		{"lib", []string{tree(t, "lib/x")}, []string{merged}, "the dynamic linker"},
		{"lib64", []string{tree(t, "lib64/")}, []string{merged}, "a directory lib64"},
		{"a root of its own", []string{site, whole}, []string{merged}, ""},
		{"on a root of its own", []string{bin, whole}, []string{merged}, ""},
		{"an image that is not merged", []string{bin}, []string{apart}, ""},
		{"layers of an image", []string{bin}, []string{empty, merged}, "a directory bin"},
		{"an image's own affair", []string{site}, []string{bin, merged}, ""},
		{"a link of a layer", []string{bin, tree(t, "bin->usr/bin")}, []string{apart}, "a directory bin"},
		{"a link elsewhere", []string{bin}, []string{tree(t, "bin->opt/bin")}, ""},
		{"twice", []string{site, empty, site}, []string{merged}, "is there twice"},
		{"one inside the other", []string{site, filepath.Join(site, "srv")}, []string{merged}, "srv is inside the layer " + site},
		{"by a link", []string{tree(t, "to->"+site) + "/to", site + "/usr"}, []string{merged}, "is inside the layer"},
		{"inside the image", []string{filepath.Join(merged, "usr")}, []string{merged}, ""},
	} {
		err := CheckLayers(tt.layers, tt.image)
		if got := errText(err); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, not %q", tt.name, got, tt.want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The file says where, once for all nodes that have it of the defaults.
func TestLayersOfTheFile(t *testing.T) {
	t.Parallel()
	dir := tree(t, "image/bin->usr/bin", "bad/bin/x", "good/usr/")
	text := "name: l\ndefaults: {image: 'dir:./image', layers: [./bad]}\nnodes:\n  a: {}\n  b: {}\n  c: {layers: [./good]}\n  d: {layers: [./good, ./good]}\n"
	_, err := Parse(filepath.Join(dir, "lab.yaml"), []byte(text), Options{CheckFiles: true})
	got := errText(err)
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "lab.yaml:2:") || !strings.Contains(got, "lab.yaml:7:15: the layer ") || !strings.Contains(got, "has a directory bin") {
		t.Errorf("%s", got)
	}
}
