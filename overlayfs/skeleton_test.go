package overlayfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// fileTree makes a tree: a path that ends in "/" is a directory, one with " -> " a
// symbolic link, others files that hold their path.
type fileTree []struct {
	path string
	mode os.FileMode
}

func (list fileTree) make(t testing.TB, root string) {
	t.Helper()
	for _, f := range list {
		path := filepath.Join(root, f.path)
		if name, target, ok := strings.Cut(f.path, " -> "); ok {
			if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if strings.HasSuffix(f.path, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(f.path), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Last: what is closed may be closed to the test, too.
	for i := len(list) - 1; i >= 0; i-- {
		f := list[i]
		if f.mode == 0 {
			continue
		}
		if err := unix.Chmod(filepath.Join(root, f.path), uint32(f.mode)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, f := range list {
			if strings.HasSuffix(f.path, "/") {
				_ = os.Chmod(filepath.Join(root, f.path), 0o755)
			}
		}
	})
}

// kinds returns "kind mode" by path. Ids are those of whoever runs the test.
func kinds(t testing.TB, entries []Entry) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, e := range entries {
		if got[e.Path] != "" {
			t.Errorf("%s is twice in the list", e.Path)
		}
		if e.Path != "." {
			parent := filepath.Dir(e.Path)
			if p := got[parent]; !strings.Contains(p, "directory") {
				t.Errorf("%s comes after its parent %s, which is %q", e.Path, parent, p)
			}
		}
		got[e.Path] = e.Kind.String()
		if e.Kind != Whiteout {
			got[e.Path] += " " + os.FileMode(e.Mode & 0o777).String()[1:]
			if e.Mode&0o7000 != 0 {
				got[e.Path] += "+"
			}
		}
	}
	return got
}

func TestHostSkeleton(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	fileTree{
		{"closed", 0o600},
		{"open", 0o644},
		{"lost+found/", 0o700},
		{"lost+found/hidden", 0o600},
		{"usr/", 0o755},
		{"usr/closed", 0o600}, // not walked
		{"etc/", 0o755},
		{"etc/passwd", 0o644},
		{"etc/shadow", 0o640},
		{"etc/ssh/", 0o755},
		{"etc/ssh/host_key", 0o600},
		{"etc/ssh/host_key.pub", 0o644},
		{"etc/ssl/", 0o755},
		{"etc/ssl/private/", 0o710},
		{"etc/ssl/private/key", 0o600},
		{"etc/ssl/certs/", 0o755},
		{"etc/ssl/certs/ca.pem", 0o644},
		{"etc/traverse/", 0o711},
		{"etc/link -> /etc/shadow", 0},
		{"etc/dirlink -> ../root", 0},
		{"etc/1/", 0o755}, {"etc/1/2/", 0o755}, {"etc/1/2/3/", 0o755},
		{"etc/1/2/3/closed", 0o600},
		{"etc/1/2/3/4/", 0o700},
		{"etc/a/", 0o755}, {"etc/a/2/", 0o755}, {"etc/a/2/3/", 0o755}, {"etc/a/2/3/4/", 0o755},
		{"etc/a/2/3/4/toodeep", 0o600},
		{"etc/weird\n\xff:,\\/", 0o755},
		{"etc/weird\n\xff:,\\/x", 0o600},
		{"tmp/", 0o1777},
		{"tmp/secret", 0o644},
		{"home/", 0o755},
		{"home/alice/", 0o755},
		{"root/", 0o755},
		{"run/", 0o755},
		{"run/nginx.pid", 0o644},
		{"run/sshd/", 0o755},
		{"run/lock/", 0o1777},
		{"run/private/", 0o700},
		{"run/private/in/", 0o755},
		{"run/user/", 0o755},
		{"run/user/1000/", 0o700},
		{"var/", 0o755},
		{"var/log/", 0o755},
		{"var/log/syslog", 0o644},
		{"var/log/nginx/", 0o755},
		{"var/log/nginx/access.log", 0o644},
		{"var/log/mysql/", 0o2750},
		{"var/lib/", 0o755},
		{"var/lib/nsnet/", 0o755},
		{"var/lib/nsnet/images", 0o644},
		{"var/lib/dpkg/", 0o755},
		{"var/lib/dpkg/closed", 0o600},
		{"var/lib/app/", 0o755},
		{"var/lib/app/closed", 0o600},
		{"var/lib/app/data/", 0o755},
		{"var/lib/app/data/closed", 0o600}, // too deep for a file
		{"var/lib/app/data/private/", 0o700},
		{"var/mail/", 0o755},
		{"var/mail/alice", 0o660},
	}.make(t, root)

	entries, err := HostSkeleton(root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".":                        "directory rwxr-xr-x",
		"closed":                   "whiteout",
		"lost+found":               "opaque directory rwx------",
		"etc":                      "directory rwxr-xr-x",
		"etc/shadow":               "file rw-------",
		"etc/ssh":                  "directory rwxr-xr-x",
		"etc/ssh/host_key":         "whiteout",
		"etc/ssl":                  "directory rwxr-xr-x",
		"etc/ssl/private":          "opaque directory rwx--x---",
		"etc/traverse":             "opaque directory rwx--x--x",
		"etc/1":                    "directory rwxr-xr-x",
		"etc/1/2":                  "directory rwxr-xr-x",
		"etc/1/2/3":                "directory rwxr-xr-x",
		"etc/1/2/3/closed":         "whiteout",
		"etc/1/2/3/4":              "opaque directory rwx------",
		"etc/weird\n\xff:,\\":      "directory rwxr-xr-x",
		"etc/weird\n\xff:,\\/x":    "whiteout",
		"tmp":                      "opaque directory rwxrwxrwx+",
		"home":                     "opaque directory rwxr-xr-x",
		"root":                     "opaque directory rwx------",
		"run":                      "opaque directory rwxr-xr-x",
		"run/sshd":                 "directory rwxr-xr-x",
		"run/lock":                 "directory rwxrwxrwx+",
		"run/private":              "directory rwx------",
		"var":                      "directory rwxr-xr-x",
		"var/tmp":                  "opaque directory rwxrwxrwx+",
		"var/log":                  "opaque directory rwxr-xr-x",
		"var/log/nginx":            "directory rwxr-xr-x",
		"var/log/mysql":            "directory rwxr-x---+",
		"var/lib":                  "directory rwxr-xr-x",
		"var/lib/nsnet":            "whiteout",
		"var/lib/app":              "directory rwxr-xr-x",
		"var/lib/app/closed":       "whiteout",
		"var/lib/app/data":         "directory rwxr-xr-x",
		"var/lib/app/data/private": "opaque directory rwx------",
		"var/mail":                 "opaque directory rwxr-xr-x",
	}
	if diff := cmp.Diff(want, kinds(t, entries)); diff != "" {
		t.Error(diff)
	}
	again, err := HostSkeleton(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries, again); diff != "" {
		t.Errorf("a second walk differs: %s", diff)
	}
}

// Links in place of the directories that are known by name are neither followed nor
// left to show what they point to.
func TestHostSkeletonLinks(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	fileTree{{"passwd", 0o644}, {"closed", 0o600}, {"d/", 0o755}}.make(t, outside)
	for _, name := range []string{"etc", "home", "root", "run", "tmp", "var"} {
		if err := os.Symlink(outside, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := HostSkeleton(root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".":    "directory rwxr-xr-x",
		"home": "opaque directory rwxr-xr-x",
		"root": "opaque directory rwx------",
		"run":  "opaque directory rwxr-xr-x",
		"tmp":  "opaque directory rwxrwxrwx+",
	}
	if diff := cmp.Diff(want, kinds(t, entries)); diff != "" {
		t.Error(diff)
	}
}

func TestHostSkeletonAccounts(t *testing.T) {
	root := t.TempDir()
	fileTree{{"etc/", 0o755}, {"etc/sudoers", 0o440}, {"usr/sbin/", 0o755}, {"usr/sbin/sshd", 0o755}}.make(t, root)
	write := func(name, content string) {
		path := filepath.Join(root, "etc", name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	write("passwd", "root:x:0:0:root:/root:/bin/sh\nalice:$6$hash:1000:1000::/home/alice:/bin/sh\n+::::::\n\nshort:x\n#c:x:1:1:::\n")
	write("group", "root:x:0:\nshadow:x:42:\nsudo:x:27:alice,bob\n")
	entries, err := HostSkeleton(root)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Entry{}
	for _, e := range entries {
		got[e.Path] = e
	}
	for _, want := range []Entry{
		{Path: "etc/shadow", Kind: File, Mode: 0o640, GID: 42, Data: []byte("root:*:::::::\nalice:*:::::::\n")},
		{Path: "etc/gshadow", Kind: File, Mode: 0o640, GID: 42, Data: []byte("root:*::\nshadow:*::\nsudo:*::alice,bob\n")},
		{Path: "etc/sudoers", Kind: File, Mode: 0o440, Data: []byte(sudoers)},
		{Path: "run/sshd", Kind: Dir, Mode: 0o755},
	} {
		if diff := cmp.Diff(want, got[want.Path]); diff != "" {
			t.Error(diff)
		}
	}
	if got["etc"].Kind != Dir || got["etc"].Mode != 0o755 {
		t.Errorf("the parent of etc/shadow is %+v", got["etc"])
	}
}

// No line of a made file comes from anything but a name, whatever passwd holds.
func TestShadowLocksEveryone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.StringMatching(`[a-z+#:-]{0,3}`)
		var passwd []byte
		for range rapid.IntRange(0, 5).Draw(t, "lines") {
			for range rapid.IntRange(0, 8).Draw(t, "fields") {
				passwd = append(passwd, field.Draw(t, "field")+":"...)
			}
			passwd = append(passwd, '\n')
		}
		for line := range strings.Lines(string(shadow(passwd))) {
			f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
			if len(f) != 9 || f[0] == "" || f[1] != "*" {
				t.Fatalf("line %q from %q", line, passwd)
			}
			if !strings.Contains("\n"+string(passwd), "\n"+f[0]+":") {
				t.Fatalf("user %q is not in %q", f[0], passwd)
			}
		}
	})
}

// For random modes: an entry hides a file if and only if others cannot read it and no
// closed directory is above it, which is hidden as a whole.
func TestHostSkeletonHidesWhatIsClosed(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		root := filepath.Join(base, string(rune('a'+n%26))+strings.Repeat("x", n/26))
		mode := rapid.SampledFrom([]os.FileMode{0o600, 0o604, 0o640, 0o644, 0o700, 0o701, 0o704, 0o705, 0o711, 0o755})
		if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
			rt.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, "etc"), 0o755); err != nil {
			rt.Fatal(err)
		}
		want := map[string]Kind{}
		var closedDirs []string
		dirs := []string{"etc"}
		for i := range rapid.IntRange(0, 12).Draw(rt, "files") {
			parent := rapid.SampledFrom(dirs).Draw(rt, "parent")
			path := filepath.Join(parent, string(rune('a'+i)))
			m := mode.Draw(rt, "mode")
			covered := false
			for _, d := range closedDirs {
				covered = covered || strings.HasPrefix(path, d+"/")
			}
			if rapid.Bool().Draw(rt, "directory") && strings.Count(path, "/") < 4 {
				// Readable to the test, whoever runs it.
				if err := os.Mkdir(filepath.Join(root, path), 0o700); err != nil {
					rt.Fatal(err)
				}
				if err := os.Chmod(filepath.Join(root, path), m|0o700); err != nil { // whatever the umask
					rt.Fatal(err)
				}
				dirs = append(dirs, path)
				if m&0o005 != 0o005 {
					closedDirs = append(closedDirs, path)
					if !covered {
						want[path] = Opaque
					}
				}
				continue
			}
			if err := os.WriteFile(filepath.Join(root, path), nil, 0o600); err != nil {
				rt.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(root, path), m); err != nil {
				rt.Fatal(err)
			}
			if m&0o004 == 0 && !covered && strings.Count(path, "/") <= 4 {
				want[path] = Whiteout
			}
		}
		entries, err := HostSkeleton(root)
		if err != nil {
			rt.Fatal(err)
		}
		got := map[string]Kind{}
		for _, e := range entries {
			if e.Kind != Dir && strings.HasPrefix(e.Path, "etc/") {
				got[e.Path] = e.Kind
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
		if err := os.RemoveAll(root); err != nil {
			rt.Fatal(err)
		}
	})
}

func TestHostSkeletonErrors(t *testing.T) {
	if _, err := HostSkeleton(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a missing root is no error")
	}
}

func BenchmarkHostSkeleton(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := HostSkeleton("/"); err != nil {
			b.Fatal(err)
		}
	}
}
