package topology

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func dirLayer(path string, rw bool) Layer { return Layer{Image{Kind: ImageDir, Path: path}, rw} }

func TestLayersAndUnions(t *testing.T) {
	l, err := Parse("/f/lab.yaml", []byte(`
name: t
defaults: {layers: [/base], storage: fuse}
nodes:
  a:
    unions:
      - {path: /mnt//u/, layers: ["/a:b,c:rw", ./d, "/e:ro", {dir: "/f:rw"}, {dir: /g, mode: rw}, {image: "debian:12"}]}
      - {path: /o, storage: copy, layers: [/x]}
  b: {layers: [], persist: true, storage: overlay}
  c: {writable_size: 1G}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := l.Nodes[0], l.Nodes[1], l.Nodes[2]
	want := []Union{{"/mnt/u", []Layer{dirLayer("/a:b,c", true), dirLayer("/f/d", false), dirLayer("/e", false), dirLayer("/f:rw", false), dirLayer("/g", true),
		{Image{Kind: ImageRegistry, Name: "docker.io/library/debian:12"}, false}}, "fuse"}, {"/o", []Layer{dirLayer("/x", false)}, "copy"}}
	if diff := cmp.Diff(want, a.Unions); diff != "" {
		t.Error(diff)
	}
	if !a.Unions[0].Writes() || a.Unions[1].Writes() {
		t.Error("which unions write in place is wrong")
	}
	for want, layers := range map[bool][][]Layer{true: {{dirLayer("/a", true)}, {dirLayer("/a", true), dirLayer("/b", false)}},
		false: {nil, {dirLayer("/a", false)}, {dirLayer("/a", true), dirLayer("/b", true)}, {dirLayer("/a", false), dirLayer("/b", true)}}} {
		for _, l := range layers {
			if u := (Union{Layers: l}); u.WritesFirst() != want {
				t.Errorf("%v writes the first layer alone: %v", l, !want)
			}
		}
	}
	if diff := cmp.Diff([]Layer{dirLayer("/base", false)}, a.Layers); diff != "" {
		t.Error(diff)
	}
	if b.Layers != nil || b.Storage != "overlay" || !b.Writable.Persist || c.Writable.Size != 1<<30 || c.Writable.Persist {
		t.Errorf("b: %+v, c: %+v", b, c)
	}
	l.UseStorage("overlay")
	if l.Nodes[0].Unions[0].Storage != "overlay" || l.Nodes[2].Storage != "overlay" {
		t.Error("UseStorage left something")
	}
}

func TestWrongLayers(t *testing.T) {
	for text, want := range map[string]string{
		"layers: [/a:rw]":                                      "1:17: a layer of the root cannot be rw",
		"layers: /a":                                           "layers must be a list",
		"layers: [{dir: /a, image: x}]":                        "either a dir or an image",
		"layers: [{mode: ro}]":                                 "either a dir or an image",
		"layers: [{dir: /a, mode: wr}]":                        "neither ro nor rw",
		`layers: [""]`:                                         "layer is empty",
		"unions: [{layers: [/a]}]":                             "path is missing",
		"unions: [{path: /a}]":                                 "layers are missing",
		"unions: [{path: a, layers: [/a]}]":                    "is not an absolute path",
		"unions: [{path: /proc/x, layers: [/a]}]":              "which the node has of its own",
		"unions: [{path: /x, layers: [{image: host}]}]":        "the host's root is no layer",
		"unions: [{path: /x, layers: [{image: d, mode: rw}]}]": "cannot be rw",
		"{unions: [{path: /x, layers: [/a]}], tmpfs: [/x]}":    "has a mount on /x already",
		"storage: overlya":                                     `did you mean "overlay"?`,
		"writable_size: 100":                                   "at least 1MiB",
		"{persist: true, writable_size: 1MiB}":                 "has it on disk",
		"persist: yes please":                                  "must be true or false",
	} {
		if !strings.HasPrefix(text, "{") {
			text = "{" + text + "}"
		}
		_, err := Parse("/f/lab.yaml", []byte("{name: t, nodes: {a: "+text+"}}"), Options{})
		want = strings.TrimPrefix(want, "1:17: ")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", text, err, want)
		}
	}
	many := "layers: [" + strings.Repeat("/a,", maxLayers+1) + "]"
	if _, err := Parse("/f/lab.yaml", []byte("{name: t, nodes: {a: {"+many+"}}}"), Options{}); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too many layers: %v", err)
	}
}
