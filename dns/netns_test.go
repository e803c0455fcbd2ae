package dns

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nsnet/nsnet/topology"
)

func TestNetnsFiles(t *testing.T) {
	root := filepath.Join(t.TempDir(), "netns")
	d := topology.DNS{Nameservers: []string{"8.8.8.8", "9.9.9.9"}}
	for range 2 { // the second time replaces the file
		paths, err := WriteNetns(root, "lab", "web", d)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{filepath.Join(root, "lab.web"), filepath.Join(root, "lab.web", "resolv.conf")}
		if diff := cmp.Diff(want, paths); diff != "" {
			t.Error(diff)
		}
		got, err := os.ReadFile(paths[1])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(ResolvConf(d)), string(got)); diff != "" {
			t.Error(diff)
		}
		d.Nameservers = d.Nameservers[:1] // shorter than before
	}
	if _, err := WriteNetns(root, "lab", "a", d); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"web", "web", "a", "never"} {
		if err := RemoveNetns(root, "lab", node); err != nil {
			t.Errorf("remove %s: %v", node, err)
		}
	}
	if _, err := os.Lstat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", root, err)
	}
}

func TestNetnsLeavesForeignFiles(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "lab.web", "resolv.conf")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	const content = "nameserver 127.0.0.53\n"
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteNetns(root, "lab", "web", topology.DNS{}); !errors.Is(err, ErrForeign) {
		t.Errorf("write: %v, want ErrForeign", err)
	}
	if err := RemoveNetns(root, "lab", "web"); err != nil {
		t.Errorf("remove: %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != content {
		t.Errorf("the file is now %q, %v", got, err)
	}
}

func TestNetnsFollowsNoLinkOut(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "lab.web")); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteNetns(root, "lab", "web", topology.DNS{}); err == nil {
		t.Error("wrote through a symbolic link")
	}
	if err := RemoveNetns(root, "lab", "web"); err == nil {
		t.Error("removed through a symbolic link")
	}
	if list, _ := os.ReadDir(outside); len(list) != 0 {
		t.Errorf("outside: %v", list)
	}
}

// What is no file is somebody else's, and nobody waits for it.
func TestNetnsWaitsForNothing(t *testing.T) {
	for kind, put := range map[string]func(string) error{
		"pipe":      func(at string) error { return syscall.Mkfifo(at, 0o600) },
		"socket":    func(at string) error { return syscall.Mknod(at, syscall.S_IFSOCK|0o600, 0) },
		"directory": func(at string) error { return os.Mkdir(at, 0o755) },
		"loop":      func(at string) error { return os.Symlink(resolvConf, at) },
	} {
		root := t.TempDir()
		at := filepath.Join(root, "lab.web", resolvConf)
		if err := os.Mkdir(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := put(at); err != nil {
			t.Fatal(err)
		}
		if text, err := ReadNetns(root, "lab", "web"); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %q, %v", kind, text, err)
		}
		if _, err := WriteNetns(root, "lab", "web", topology.DNS{}); err == nil {
			t.Errorf("%s: it was written", kind)
		}
		if names, err := Marked(root); err != nil || len(names) > 0 {
			t.Errorf("%s: %v, %v", kind, names, err)
		}
		_ = RemoveNetns(root, "lab", "web")
		if _, err := os.Lstat(at); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestNetnsNames(t *testing.T) {
	root := t.TempDir()
	for _, n := range [][2]string{{"", "a"}, {"a", ""}, {"a", "/../b"}, {"../x", "a"}, {".", "a"}, {"a", "b\x00"}} {
		if _, err := WriteNetns(root, n[0], n[1], topology.DNS{}); err == nil {
			t.Errorf("WriteNetns(%q, %q) succeeded", n[0], n[1])
		}
		if err := RemoveNetns(root, n[0], n[1]); err == nil {
			t.Errorf("RemoveNetns(%q, %q) succeeded", n[0], n[1])
		}
	}
}
