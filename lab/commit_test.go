package lab

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/inroot"
)

// Whoever owns the directory that something is saved in exchanges what is made there for a link, and has links on the way: nothing is
// written elsewhere.
func TestWholeInSomebodyElsesDirectory(t *testing.T) {
	base := t.TempDir()
	victim, theirs := filepath.Join(base, "victim"), filepath.Join(base, "theirs")
	must(t, errors.Join(os.Mkdir(victim, 0o755), os.Mkdir(theirs, 0o755)))
	exchange := func() {
		t.Helper()
		made, err := filepath.Glob(filepath.Join(theirs, ".nsnet-commit-*"))
		must(t, err)
		if len(made) != 1 {
			t.Fatalf("made are %v", made)
		}
		must(t, errors.Join(os.Rename(made[0], filepath.Join(theirs, "was")), os.Symlink(victim, made[0])))
	}
	untouched := func() {
		t.Helper()
		if entries, err := os.ReadDir(victim); err != nil || len(entries) > 0 {
			t.Errorf("elsewhere there are %v, %v", entries, err)
		}
	}
	write := func(dir string) error { return os.WriteFile(filepath.Join(dir, "x"), []byte("of root"), 0o600) }
	for name, wrong := range map[string]func(string) error{
		"before it is written": func(dir string) error { exchange(); return write(dir) },
		"and it fails":         func(string) error { exchange(); return unix.EIO },
		"after":                func(dir string) error { return errors.Join(write(dir), func() error { exchange(); return nil }()) },
	} {
		if err := whole(t.Context(), filepath.Join(theirs, "saved"), wrong); err == nil {
			t.Errorf("%s: no error", name)
		}
		untouched()
		must(t, errors.Join(os.RemoveAll(filepath.Join(theirs, "was")), os.RemoveAll(filepath.Join(theirs, "saved"))))
	}
	link := filepath.Join(theirs, "link")
	must(t, os.Symlink(victim, link))
	if err := whole(t.Context(), link, write); err == nil {
		t.Error("to a link: no error")
	}
	if os.Geteuid() == 0 {
		must(t, os.Lchown(link, 1000, 1000))
		if err := whole(t.Context(), filepath.Join(link, "saved"), write); !errors.Is(err, inroot.ErrForeignLink) {
			t.Errorf("through a link of theirs: %v", err)
		}
	}
	untouched()
	must(t, whole(t.Context(), filepath.Join(theirs, "saved"), write))
	if got := content(t, filepath.Join(theirs, "saved/x")); got != "of root" {
		t.Errorf("saved is %q", got)
	}
}
