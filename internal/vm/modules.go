package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is a kernel module, unpacked.
type module struct {
	name string
	data []byte
}

// load reads the modules of these names and all that they depend on, in the order in which
// insmod(8) takes them. What is built into the kernel is left out; what is in neither is an error.
func (k Kernel) load(names []string) ([]module, error) {
	l := loader{files: map[string]string{}, done: map[string]bool{}}
	err := filepath.WalkDir(k.modules, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".ko") {
			l.files[moduleName(d.Name())] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	builtin, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list built-in modules: %w", err)
	}
	for _, path := range strings.Fields(string(builtin)) {
		l.done[moduleName(filepath.Base(path))] = true
	}
	for _, name := range names {
		if err := l.add(name); err != nil {
			return nil, fmt.Errorf("kernel %s: module %s: %w", k.Version, name, err)
		}
	}
	return l.list, nil
}

// moduleName is what a file's module is called: dashes of file names are underscores.
func moduleName(file string) string {
	name, _, _ := strings.Cut(file, ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

type loader struct {
	files map[string]string // path by name
	done  map[string]bool
	list  []module
}

func (l *loader) add(name string) error {
	if l.done[name] {
		return nil
	}
	l.done[name] = true
	path, ok := l.files[name]
	if !ok {
		return fmt.Errorf("%s is neither a module of this kernel nor built in", name)
	}
	data, err := readModule(path)
	if err != nil {
		return err
	}
	needs, err := dependencies(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, n := range needs {
		if err := l.add(n); err != nil {
			return err
		}
	}
	l.list = append(l.list, module{name, data})
	return nil
}

// readModule reads a module, which newer packages have compressed.
func readModule(path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	data, err := exec.Command("busybox", "xzcat", path).Output()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", path, err)
	}
	return data, nil
}

// dependencies are the modules that a module names in its .modinfo section, which depmod(8)
// reads as well. They are not in the package: depmod runs when it is installed.
func dependencies(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range bytes.SplitSeq(info, []byte{0}) {
		if v, ok := bytes.CutPrefix(line, []byte("depends=")); ok && len(v) > 0 {
			for _, n := range strings.Split(string(v), ",") {
				names = append(names, strings.ReplaceAll(n, "-", "_"))
			}
		}
	}
	return names, nil
}
