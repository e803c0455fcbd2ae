package overlayfs

import (
	"debug/elf"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// Libraries finds what a program is started with: its dynamic linker, by the path that the program names, and the
// shared libraries that it and they need, by their names. A static program needs nothing. They are looked for where
// the objects that need them say (DT_RUNPATH, DT_RPATH), then where the dynamic linkers of glibc and musl look by
// themselves, and in /usr/local. elf(5), ld.so(8).
func Libraries(program string) (linker string, libraries map[string]string, err error) {
	first, err := openObject(program)
	if err != nil {
		return "", nil, fmt.Errorf("look at %s: %w", program, err)
	}
	libraries = map[string]string{}
	if first.linker == "" {
		return "", libraries, nil
	}
	for todo := []*object{first}; len(todo) > 0; todo = todo[1:] {
		for _, name := range todo[0].needs {
			if _, known := libraries[name]; known || name == filepath.Base(first.linker) {
				continue
			}
			dirs := append(todo[0].dirs, libraryDirs()...)
			found := findObject(name, dirs, first.machine)
			if found == nil {
				return "", nil, fmt.Errorf("%s needs %s, which is in none of %s", todo[0].path, name, strings.Join(dirs, ", "))
			}
			libraries[name] = found.path
			todo = append(todo, found)
		}
	}
	return first.linker, libraries, nil
}

// object is a program or a library.
type object struct {
	path    string
	machine elf.Machine
	linker  string   // of a program that is not static
	needs   []string // names of libraries
	dirs    []string // where it wants them looked for
}

func openObject(path string) (*object, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	o := &object{path: path, machine: f.Machine}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, min(p.Filesz, 4096))
		if _, err := p.ReadAt(b, 0); err != nil {
			return nil, err
		}
		o.linker = strings.TrimRight(string(b), "\x00")
	}
	if o.needs, err = f.ImportedLibraries(); err != nil {
		return nil, err
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		lists, err := f.DynString(tag)
		if err != nil {
			return nil, err
		}
		for dir := range strings.SplitSeq(strings.Join(lists, ":"), ":") {
			dir = strings.NewReplacer("$ORIGIN", filepath.Dir(path), "${ORIGIN}", filepath.Dir(path)).Replace(dir)
			if filepath.IsAbs(dir) {
				o.dirs = append(o.dirs, dir)
			}
		}
	}
	return o, nil
}

// findObject looks for a library of a machine in directories; nil where there is none.
func findObject(name string, dirs []string, machine elf.Machine) *object {
	for _, dir := range dirs {
		if o, err := openObject(filepath.Join(dir, name)); err == nil && o.machine == machine {
			return o
		}
	}
	return nil
}

// libraryDirs are where libraries are on Debian and its kin, on others, and where somebody has put them.
func libraryDirs() []string {
	triple := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	return []string{"/usr/local/lib/" + triple, "/usr/local/lib64", "/usr/local/lib", "/lib/" + triple, "/usr/lib/" + triple,
		"/lib64", "/usr/lib64", "/lib", "/usr/lib"}
}
