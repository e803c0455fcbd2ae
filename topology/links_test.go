package topology

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestFinder holds the finder against the standard library, in trees with links of all kinds.
func TestFinder(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		root := filepath.Join(base, fmt.Sprint(n))
		names := rapid.SampledFrom([]string{"a", "b", "c"})
		path := func(label string) string {
			return strings.Join(rapid.SliceOfN(names, 1, 4).Draw(t, label), "/")
		}
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 8).Draw(t, "things") {
			at := filepath.Join(root, path("at"))
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				_ = os.MkdirAll(at, 0o755)
			case 1:
				_ = os.WriteFile(at, nil, 0o600)
			case 2:
				_ = os.Symlink(rapid.SampledFrom([]string{"", "../", "../../", "./"}).Draw(t, "up")+path("to"), at)
			case 3:
				_ = os.Symlink(filepath.Join(root, path("to")), at)
			}
		}
		f := newFinder()
		for range 6 {
			p := filepath.Join(root, path("look"))
			want, wantErr := filepath.EvalSymlinks(p)
			got, err := f.resolve(p)
			if (err == nil) != (wantErr == nil) || err == nil && got != want {
				t.Fatalf("%s is %q, %v; want %q, %v", p, got, err, want, wantErr)
			}
			if errors.Is(wantErr, os.ErrNotExist) && !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("%s: %v, want %v", p, err, wantErr)
			}
			info, err := f.stat(p)
			wantInfo, wantErr := os.Stat(p)
			if (err == nil) != (wantErr == nil) || err == nil && !os.SameFile(info, wantInfo) {
				t.Fatalf("stat of %s: %v, want %v", p, err, wantErr)
			}
		}
	})
}

// TestPathsAreLookedUpOnce holds what a file's paths cost, in names that are looked up.
func TestPathsAreLookedUpOnce(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, strings.Repeat("d/", 100))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	to := "d"
	for i := range 60 {
		if err := os.Symlink(to, filepath.Join(dir, fmt.Sprint("l", i))); err != nil {
			t.Fatal(err)
		}
		to = fmt.Sprint("l", i)
	}
	for name, tc := range map[string]struct {
		path string
		want string
	}{
		"deep":         {strings.Repeat("d/", 99) + "d", ""},
		"through 40":   {"l39", ""},
		"through more": {"l40", `bind source "./l40": leads through more than 40 symbolic links`},
	} {
		text := "name: t\nnodes:\n  a:\n    binds:\n"
		for i := range 15000 {
			text += fmt.Sprintf("    - './%s:/x%d'\n", tc.path, i)
		}
		d := &decoder{file: "lab.yaml", source: source{dir: dir}, o: Options{CheckFiles: true}, left: budget, paths: newFinder()}
		root, syntax := parseYAML("lab.yaml", []byte(text))
		if syntax != nil {
			t.Fatal(syntax)
		}
		resolve(d, decodeFile(d, root))
		if used := maxLookups - d.paths.left; used > 400 {
			t.Errorf("%s: %d names are looked up", name, used)
		}
		switch {
		case tc.want == "" && len(d.errs) > 0:
			t.Errorf("%s: %v", name, d.errs[0])
		case tc.want != "" && (len(d.errs) == 0 || !strings.Contains(d.errs[0].Msg, tc.want)):
			t.Errorf("%s: %v", name, d.errs)
		}
	}
	// Paths that have nothing in common.
	f := newFinder()
	f.left = 3
	for i := range 5 {
		_, err := f.resolve(fmt.Sprintf("%s/none%d", deep, i))
		if i > 2 && !errors.Is(err, errLookups) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
