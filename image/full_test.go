package image

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
)

// A store without room says so, keeps nothing of what it had no room for, and works on: by bytes, and by files.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	testenv.Isolate(t, func(t *testing.T) {
		noise := make([]byte, 3<<20)
		if _, err := rand.Read(noise); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for i := range 300 {
			files[hex.EncodeToString(noise[i:i+8])] = "x"
		}
		for name, c := range map[string]struct {
			options string
			image   v1.Image
		}{
			"bytes": {"size=2m", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"small": "x"}), layerOf(t, map[string]string{"large": string(noise)}))},
			"files": {"nr_inodes=200", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"small": "x"}), layerOf(t, files))},
		} {
			dir := filepath.Join(t.TempDir(), "images")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("nsnet-test", dir, "tmpfs", 0, "mode=0700,"+c.options); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := unix.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			}()
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			r := newRegistry(t)
			before := r.push("before:1", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"f": "before"})))
			pull(t, s, before)
			_, err = s.Pull(context.Background(), r.push("large:1", c.image), PullOptions{})
			if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "large:1") || !strings.Contains(err.Error(), "nsnet image rm") {
				t.Errorf("%s: the error is %v", name, err)
			}
			sweep(t, s, nobody)
			checkWhole(t, s)
			found, err := s.Find(before)
			if err != nil {
				t.Fatal(err)
			}
			mustEqual(t, "what was there", content(found, "f"), "before")
			after := pull(t, s, r.push("after:1", imagetest.Image(t, v1.Config{}, layerOf(t, map[string]string{"f": "after"}))))
			mustEqual(t, "what comes after", content(after, "f"), "after")
			if err := remove(s, before, nobody); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			checkWhole(t, s)
		}
	})
}
