package vm

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// tree is an initramfs in the making: content and mode of files by absolute path.
type tree map[string]file

type file struct {
	mode uint32 // with the type bits of stat(2)
	data []byte
}

const (
	typeDir     = 0o040000
	typeRegular = 0o100000
	typeLink    = 0o120000
)

func (t tree) put(name string, perm fs.FileMode, data []byte) {
	t[name] = file{typeRegular | uint32(perm.Perm()), data}
}

func (t tree) link(name, target string) { t[name] = file{typeLink | 0o777, []byte(target)} }

func (t tree) dir(name string, perm fs.FileMode) { t[name] = file{typeDir | uint32(perm.Perm()), nil} }

// copy puts a file of this machine in.
func (t tree) copy(name, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	t.put(name, st.Mode(), data)
	return nil
}

// program puts a program of this machine into /usr/bin, or what has a path at that path, and its shared libraries, as ldd(1) lists
// them, at the paths they have here.
func (t tree) program(name string) error {
	from, to := name, name
	if !strings.Contains(name, "/") {
		var err error
		if from, err = exec.LookPath(name); err != nil {
			return err
		}
		to = "/usr/bin/" + name
	}
	if err := t.copy(to, from); err != nil {
		return err
	}
	out, err := exec.Command("ldd", from).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "not a dynamic executable") {
			return nil
		}
		return fmt.Errorf("list the libraries of %s: %w: %s", from, err, out)
	}
	for _, word := range strings.Fields(string(out)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		if err := t.copy(word, word); err != nil {
			return err
		}
	}
	return nil
}

// archive is the tree in the format of Documentation/driver-api/early-userspace/buffer-format.rst,
// "newc" of cpio(1). All is owned by root, whoever runs this.
func (t tree) archive() []byte {
	var out bytes.Buffer
	inode := 0
	entry := func(name string, f file) {
		inode++
		links := 1
		fmt.Fprintf(&out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			inode, f.mode, 0, 0, links, 0, len(f.data), 0, 0, 0, 0, len(name)+1, 0, name)
		pad(&out)
		out.Write(f.data)
		pad(&out)
	}
	for _, name := range t.order() {
		f, ok := t[name]
		if !ok {
			f = file{mode: typeDir | 0o755}
		}
		entry(strings.TrimPrefix(name, "/"), f)
	}
	inode = -1
	entry("TRAILER!!!", file{})
	return out.Bytes()
}

// order is every path of the tree and every directory on the way, parents first.
func (t tree) order() []string {
	seen := map[string]bool{}
	for name := range t {
		for ; name != "/" && !seen[name]; name = path.Dir(name) {
			seen[name] = true
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names) // a parent is a prefix of what it holds
	return names
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
