package topology

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the file shows of a union is said at its place, and not by the kernel.
func TestCheckUnions(t *testing.T) {
	t.Parallel()
	dir := tree(t, "f/sub/", "v/", "link->f")
	const both = "is written by the union /u of node a already (line 2), and an overlay has to be the only one to write it: give node "
	for _, tt := range []struct{ name, nodes, want string }{
		{"classic", `a: {unions: [{path: /u, layers: ["./f:rw", ./v]}]}`, ""},
		{"twice", `a: {unions: [{path: /u, layers: ["./f:rw", ./f]}]}`, "2:41: the layer DIR/f is there twice"},
		{"by a link", `a: {unions: [{path: /u, layers: ["./f:rw", ./link]}]}`, "2:41: the layers DIR/f and DIR/link are the same directory"},
		{"inside", `a: {unions: [{path: /u, layers: ["./f:rw", ./f/sub]}]}`, "2:41: the layer DIR/f/sub is inside the layer DIR/f"},
		{"twice in an overlay that writes none", `a: {unions: [{path: /u, storage: overlay, layers: [./f, ./f]}]}`, "is there twice"},
		{"twice where nsnet copies", `a: {unions: [{path: /u, layers: [./f, ./f]}]}`, ""},
		{"copy of rw", `a: {unions: [{path: /u, storage: copy, layers: ["./f:rw"]}]}`, "2:42: storage: copy writes to no layer in place, and the layer DIR/f of the union /u of node a is rw"},
		{"copy of rw by the node", `a: {image: "dir:./v", storage: copy, unions: [{path: /u, layers: ["./f:rw"]}]}`, "2:40: storage: copy writes to no layer"},
		{"overlay of two rw", `a: {unions: [{path: /u, storage: overlay, layers: ["./f:rw", "./v:rw"]}]}`, "2:42: storage: overlay can have the first layer alone rw, and the layer DIR/v"},
		{"copy of the host", `a: {storage: copy}`, "2:22: node a is on the host's root, which is too much to be copied"},
		{"copy of a directory", `a: {image: "dir:./v", storage: copy}`, ""},
		{"two overlays", `a: {unions: [{path: /u, layers: ["./f:rw", ./v]}]}, b: {unions: [{path: /u, layers: ["./link:rw"]}]}`, "2:74: the directory DIR/link " + both + "b"},
		{"an overlay, then mergerfs", `a: {unions: [{path: /u, layers: ["./f:rw"]}]}, b: {unions: [{path: /u, layers: ["./f:rw", "./v:rw"]}]}`, both + "b"},
		{"mergerfs, then an overlay", `a: {unions: [{path: /u, layers: ["./f:rw", "./v:rw"]}, {path: /w, layers: ["./v:rw"]}]}`, both + "a"},
		{"mergerfs twice", `a: {unions: [{path: /u, layers: ["./f:rw", "./v:rw"]}]}, b: {unions: [{path: /u, storage: fuse, layers: ["./f:rw"]}]}`, ""},
		{"read by another", `a: {unions: [{path: /u, layers: ["./f:rw"]}]}, b: {unions: [{path: /u, layers: ["./v:rw", ./f]}]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-")+".yaml")
			if err := os.WriteFile(name, []byte("name: x\nnodes: {"+tt.nodes+"}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(name, Options{CheckFiles: true})
			got, want := fmt.Sprint(err), strings.ReplaceAll(tt.want, "DIR", dir)
			if want == "" && err != nil || !strings.Contains(got, want) {
				t.Errorf("%s, not %s", got, want)
			}
		})
	}
}
