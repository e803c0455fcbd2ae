package overlayfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// inMountNS runs the calling test again, as a process in a mount namespace of its own,
// and returns true there. To the test that called first it returns false, after the
// other one has ended and its failures were reported.
func inMountNS(t *testing.T) bool {
	t.Helper()
	const child = "NSNET_TEST_MOUNT_NAMESPACE"
	if os.Getenv(child) == t.Name() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	testenv.Root(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	// A process built with -race sleeps a second before it exits, unless told not to.
	cmd.Env = append(os.Environ(), child+"="+t.Name(), "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in the mount namespace: %v\n%s", err, out)
	}
	return false
}

// mountTmpfs makes a directory below base with a tmpfs of mode 0755 on it.
func mountTmpfs(t *testing.T, base, name string) string {
	t.Helper()
	dir := filepath.Join(base, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func mountOverlay(t *testing.T, at string, lower ...string) {
	t.Helper()
	for i := range lower {
		lower[i] = EscapeOption(lower[i])
	}
	if err := unix.Mount("overlay", at, "overlay", 0, "userxattr,lowerdir="+strings.Join(lower, ":")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Errorf("unmount %s: %v", at, err)
		}
	})
}

func apply(t *testing.T, dir string, entries []Entry) error {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	return Apply(fd, entries, UserMark)
}

// describe returns type, mode and owner of a path, or the error.
func describe(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	kind := map[uint32]string{unix.S_IFDIR: "dir", unix.S_IFREG: "file", unix.S_IFLNK: "link", unix.S_IFCHR: "char"}[st.Mode&unix.S_IFMT]
	return fmt.Sprintf("%s %04o %d:%d", kind, st.Mode&0o7777, st.Uid, st.Gid)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func TestApply(t *testing.T) {
	if !inMountNS(t) {
		return
	}
	unix.Umask(0o077) // must not matter
	dir := mountTmpfs(t, t.TempDir(), "skel")
	const weird = "w\n\xff:,\\ %s"
	err := apply(t, dir, []Entry{
		{Path: ".", Kind: Dir, Mode: 0o750, UID: 7, GID: 8},
		{Path: "a", Kind: Dir, Mode: 0o2755, UID: 1000, GID: 1001},
		{Path: "a/closed", Kind: Opaque, Mode: 0, UID: 33, GID: 34},
		{Path: "a/closed/in", Kind: Dir, Mode: 0o1777},
		{Path: "a/closed/in/file", Kind: File, Mode: 0o4711, UID: 1, GID: 2, Data: []byte("content")},
		{Path: "a/gone", Kind: Whiteout},
		{Path: "a/link", Kind: Symlink, UID: 5, GID: 6, Data: []byte("/etc/passwd")},
		{Path: weird, Kind: Dir, Mode: 0o700},
		{Path: weird + "/" + weird, Kind: File, Mode: 0o600},
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		".":                 "dir 0750 7:8",
		"a":                 "dir 2755 1000:1001",
		"a/closed":          "dir 0000 33:34",
		"a/closed/in":       "dir 1777 0:0",
		"a/closed/in/file":  "file 4711 1:2",
		"a/gone":            "char 0000 0:1001", // of a set-group-id directory
		"a/link":            "link 0777 5:6",
		weird:               "dir 0700 0:0",
		weird + "/" + weird: "file 0600 0:0",
	} {
		if got := describe(filepath.Join(dir, path)); got != want {
			t.Errorf("%q is %s, want %s", path, got, want)
		}
	}
	mark := make([]byte, 8)
	if n, err := unix.Getxattr(filepath.Join(dir, "a/closed"), string(UserMark), mark); err != nil || string(mark[:n]) != "y" {
		t.Errorf("mark %q, %v", mark[:max(n, 0)], err)
	}
	if _, err := unix.Getxattr(filepath.Join(dir, "a"), string(UserMark), mark); !errors.Is(err, unix.ENODATA) {
		t.Errorf("a plain directory is marked: %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "a/closed/in/file")); err != nil || string(data) != "content" {
		t.Errorf("content %q, %v", data, err)
	}
}

func TestApplyStaysInside(t *testing.T) {
	if !inMountNS(t) {
		return
	}
	base := t.TempDir()
	dir, outside := mountTmpfs(t, base, "skel"), mountTmpfs(t, base, "outside")
	for _, path := range []string{"", "/", "/x", "..", "../x", "a/../../x", "a//x", "a/./x", "./x", "x/", "link/x", "link/d/x", "a\x00b", "file/x", "absent/x"} {
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Join(dir, "link"))
		_ = os.Remove(filepath.Join(dir, "file"))
		for _, kind := range []Kind{Dir, Opaque, Whiteout, File, Symlink} {
			mk := []Entry{
				{Path: "a", Kind: Dir, Mode: 0o755},
				{Path: "file", Kind: File, Mode: 0o644},
				{Path: "link", Kind: Symlink, Data: []byte(outside)},
			}
			if kind != Dir {
				mk = nil
			}
			if err := apply(t, dir, append(mk, Entry{Path: path, Kind: kind, Data: []byte("x"), Mode: 0o755})); err == nil {
				t.Errorf("%s %q was made", kind, path)
			}
		}
	}
	// What is there already is neither replaced nor written through.
	for _, kind := range []Kind{Dir, Opaque, Whiteout, File, Symlink} {
		if err := apply(t, dir, []Entry{{Path: "link", Kind: kind, Data: []byte("x")}}); !errors.Is(err, unix.EEXIST) {
			t.Errorf("%s over a link: %v", kind, err)
		}
	}
	if err := apply(t, dir, []Entry{{Path: ".", Kind: File}}); err == nil {
		t.Error("the root became a file")
	}
	if list := names(t, outside); len(list) != 0 {
		t.Errorf("outside: %q", list)
	}
}

// An overlay of the skeleton over the tree it was made from shows the tree without what
// is closed.
func TestSkeletonOverlay(t *testing.T) {
	if !inMountNS(t) {
		return
	}
	unix.Umask(0o022)
	base := t.TempDir()
	host, skel := mountTmpfs(t, base, "host"), mountTmpfs(t, base, "skel")
	fileTree{
		{"etc/", 0o755},
		{"etc/passwd", 0o644},
		{"etc/shadow", 0o640},
		{"etc/ssh/", 0o755},
		{"etc/ssh/host_key", 0o600},
		{"etc/ssh/sshd_config", 0o644},
		{"etc/ssl/", 0o755},
		{"etc/ssl/private/", 0o710},
		{"etc/ssl/private/key", 0o644},
		{"tmp/", 0o1777},
		{"tmp/secret", 0o644},
		{"home/", 0o755},
		{"home/alice/", 0o755},
		{"root/", 0o700},
		{"root/.ssh/", 0o700},
		{"run/", 0o755},
		{"run/sshd/", 0o755},
		{"run/app.pid", 0o644},
		{"var/", 0o755},
		{"var/log/", 0o775},
		{"var/log/nginx/", 0o755},
		{"var/log/nginx/access.log", 0o644},
		{"var/lib/", 0o755},
		{"var/lib/app/", 0o755},
		{"var/lib/app/db", 0o600},
		{"var/lib/app/public", 0o644},
	}.make(t, host)
	if err := os.Chown(filepath.Join(host, "etc/ssl/private"), 33, 117); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(host, "var/lib/app"), 105, 108); err != nil {
		t.Fatal(err)
	}
	entries, err := HostSkeleton(host)
	if err != nil {
		t.Fatal(err)
	}
	if err := apply(t, skel, entries); err != nil {
		t.Fatal(err)
	}
	// Made after the skeleton: hidden all the same.
	if err := os.Mkdir(filepath.Join(host, "var/lib/nsnet"), 0o755); err != nil {
		t.Fatal(err)
	}
	merged := filepath.Join(base, "merged")
	if err := os.Mkdir(merged, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Run("marked", func(t *testing.T) {
		mountOverlay(t, merged, skel, host)
		checkSkeleton(t, merged)
	})
	t.Run("trusted", func(t *testing.T) {
		skel := mountTmpfs(t, base, "trusted")
		fd, err := unix.Open(skel, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := Apply(fd, entries, TrustedMark); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("overlay", merged, "overlay", 0, "lowerdir="+EscapeOption(skel)+":"+EscapeOption(host)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Unmount(merged, 0) }()
		checkSkeleton(t, merged)
	})
}

func TestShift(t *testing.T) {
	entries := []Entry{{Path: "a", Kind: Dir, UID: 1, GID: 2}, {Path: "b", Kind: Whiteout}}
	got := Shift(entries, 1000)
	want := []Entry{{Path: "a", Kind: Dir, UID: 1001, GID: 1002}, {Path: "b", Kind: Whiteout}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if entries[0].UID != 1 {
		t.Error("Shift changed its argument")
	}
}

// checkSkeleton looks at what the tree of TestSkeletonOverlay has become.
func checkSkeleton(t *testing.T, merged string) {
	t.Helper()
	for dir, want := range map[string][]string{
		".":               {"etc", "home", "root", "run", "tmp", "var"},
		"etc":             {"passwd", "shadow", "ssh", "ssl"},
		"etc/ssh":         {"sshd_config"},
		"etc/ssl/private": {},
		"home":            {},
		"root":            {},
		"run":             {"sshd"},
		"tmp":             {},
		"var":             {"lib", "log", "tmp"},
		"var/lib":         {"app"},
		"var/lib/app":     {"public"},
		"var/log":         {"nginx"},
		"var/log/nginx":   {},
	} {
		if diff := cmp.Diff(want, names(t, filepath.Join(merged, dir))); diff != "" {
			t.Errorf("%s: %s", dir, diff)
		}
	}
	for path, want := range map[string]string{
		".":                   "dir 0755 0:0",
		"etc/passwd":          "file 0644 0:0",
		"etc/shadow":          "file 0600 0:0",
		"etc/ssh/host_key":    "no such file or directory",
		"etc/ssl/private":     "dir 0710 33:117",
		"etc/ssl/private/key": "no such file or directory",
		"tmp":                 "dir 1777 0:0",
		"root":                "dir 0700 0:0",
		"root/.ssh":           "no such file or directory",
		"var/lib/app":         "dir 0755 105:108",
		"var/lib/nsnet":       "no such file or directory",
		"var/log":             "dir 0775 0:0",
	} {
		if got := describe(filepath.Join(merged, path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if data, err := os.ReadFile(filepath.Join(merged, "etc/passwd")); err != nil || string(data) != "etc/passwd" {
		t.Errorf("etc/passwd: %q, %v", data, err)
	}
}

// The real host's skeleton can be made and mounted, and none of its closed files of /etc
// and /var/lib is left.
func TestSkeletonOfThisHost(t *testing.T) {
	if !inMountNS(t) {
		return
	}
	base := t.TempDir()
	skel := mountTmpfs(t, base, "skel")
	entries, err := HostSkeleton("/")
	if err != nil {
		t.Fatal(err)
	}
	if err := apply(t, skel, entries); err != nil {
		t.Fatal(err)
	}
	merged := filepath.Join(base, "merged")
	if err := os.Mkdir(merged, 0o755); err != nil {
		t.Fatal(err)
	}
	mountOverlay(t, merged, skel, "/")
	for _, e := range entries {
		path := filepath.Join(merged, e.Path)
		got := describe(path)
		switch e.Kind {
		case Whiteout:
			if got != "no such file or directory" {
				t.Errorf("%s is %s", e.Path, got)
			}
		case Dir, Opaque:
			if want := fmt.Sprintf("dir %04o %d:%d", e.Mode, e.UID, e.GID); got != want {
				t.Errorf("%s is %s, want %s", e.Path, got, want)
			}
		}
		if e.Kind == Opaque {
			for _, name := range names(t, path) {
				child := e.Path + "/" + name
				if !slices.ContainsFunc(entries, func(e Entry) bool { return e.Path == child }) {
					t.Errorf("%s shows through", child)
				}
			}
		}
	}
}

func TestEscapeOption(t *testing.T) {
	for in, want := range map[string]string{
		"":             "",
		"/plain/path":  "/plain/path",
		"/a:b":         `/a\:b`,
		"/a,b":         `/a\,b`,
		`/a\b`:         `/a\\b`,
		`/a\:,`:        `/a\\\:\,`,
		"/sp ace=\n\"": "/sp ace=\n\"",
	} {
		if got := EscapeOption(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// The kernel finds layers of any name by their escaped paths, alone and among others.
func TestEscapeOptionMounts(t *testing.T) {
	if !inMountNS(t) {
		return
	}
	base := mountTmpfs(t, t.TempDir(), "base")
	layers := []string{`colon:in:it`, `comma,in,it`, `back\slash`, `end\`, `:`, `,`, `\`, `\:`, `\\,`, `a\:b,c\`, "sp ace", `=,x=y`, `::,`, "plain"}
	var lower []string
	for i, name := range layers {
		dir := filepath.Join(base, name)
		for _, d := range []string{dir, dir + ".work", dir + ".upper", dir + ".merged"} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		lower = append(lower, dir)
		opts := "lowerdir=" + EscapeOption(dir) + ",upperdir=" + EscapeOption(dir+".upper") + ",workdir=" + EscapeOption(dir+".work")
		merged := dir + ".merged"
		if err := unix.Mount("overlay", merged, "overlay", 0, opts); err != nil {
			t.Errorf("%q: %v", opts, err)
			continue
		}
		if got := names(t, merged); len(got) != 1 {
			t.Errorf("%q shows %q", name, got)
		}
		if err := os.WriteFile(filepath.Join(merged, "new"), nil, 0o644); err != nil {
			t.Error(err)
		}
		if err := unix.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
		if got := names(t, dir+".upper"); len(got) != 1 {
			t.Errorf("the upper directory of %q has %q", name, got)
		}
	}
	all := filepath.Join(base, "all")
	if err := os.Mkdir(all, 0o755); err != nil {
		t.Fatal(err)
	}
	mountOverlay(t, all, lower...)
	if got := names(t, all); len(got) != len(layers) {
		t.Errorf("all layers show %q", got)
	}
}
