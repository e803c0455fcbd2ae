package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/testenv"
)

// The routers of the leaf-spine example run the FRR of an image, a Debian that scripts/debian-image.sh has made, and do
// what they do with the machine's.
func TestLeafSpineOfImage(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		layout := filepath.Join(cache, "nsnet", "daemons")
		if _, err := os.Stat(filepath.Join(layout, "index.json")); err != nil {
			testenv.Miss(t, "no image with daemons: scripts/setup-test.sh makes one")
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(image.Dir); err != nil {
				t.Error(err)
			}
		})
		dir := t.TempDir()
		if err := os.CopyFS(filepath.Join(dir, "leaf-spine"), os.DirFS(filepath.Join(examplesDir, "leaf-spine"))); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(examplesDir, "leaf-spine.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		const before = "\ndefaults:\n"
		if strings.Count(string(text), before) != 1 {
			t.Fatal("the example has no defaults to put the image into")
		}
		r := start(t, writeFile(t, dir, "leaf-spine.yaml", strings.Replace(string(text), before, before+"  image: \"oci:"+layout+"\"\n", 1)))
		// Not the machine's files: a Debian without what the tests need of it.
		if got := r.sh("leaf1", "command -v dockerd || command -v git || dpkg -s frr | grep Status"); got != "Status: install ok installed" {
			t.Errorf("in the node: %s", got)
		}
		checkLeafSpine(t, r)
	})
}
