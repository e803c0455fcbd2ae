package overlayfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a program is started with is found, by the names that its linker looks for.
func TestLibraries(t *testing.T) {
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	linker, libraries, err := Libraries(sh)
	if err != nil || !filepath.IsAbs(linker) || len(libraries) == 0 {
		t.Fatalf("%s, %v, %v", linker, libraries, err)
	}
	for name, path := range libraries {
		if filepath.Base(path) != name || strings.Contains(name, "ld-linux") {
			t.Errorf("%s is %s", name, path)
		}
	}
	if linker, libraries, err := Libraries(os.Args[0]); err != nil || len(libraries) > 0 && linker == "" {
		t.Errorf("of this test: %s, %v, %v", linker, libraries, err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Libraries(text); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("of a script: %v", err)
	}
	if found := findObject("libc.so.6", []string{t.TempDir(), filepath.Dir(text)}, 0); found != nil {
		t.Errorf("found %v", found)
	}
}
