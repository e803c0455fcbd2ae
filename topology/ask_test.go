package topology

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/internal/testenv"
)

// asked is what the file at path asks for, each with its place in the text.
func asked(t *testing.T, path string, o Options) []string {
	t.Helper()
	l, err := Load(path, o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range l.Asks() {
		at := l.AskedAt[a]
		if at.Line == 0 || !strings.HasSuffix(at.Msg, a.String()) {
			t.Errorf("%s: place %+v", a, at)
		}
		at.File = ""
		got = append(got, strings.TrimPrefix(at.Error(), ":"))
	}
	return got
}

// own makes a directory with a topology file in it, and with what the files of this test name.
func own(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{"lab/tree/deep", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"lab/file", "lab/docker.sock", "other/secret"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"out": "../other", "kernel": "/proc/1", "inside": "tree", "round": "../lab/file", "socket": "docker.sock"} {
		if err := os.Symlink(to, filepath.Join(dir, "lab", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAsks(t *testing.T) {
	dir := own(t)
	path := filepath.Join(dir, "lab/lab.yaml")
	for name, c := range map[string]struct {
		node string
		want []string
	}{
		"nothing":                {"{}", nil},
		"the host's root":        {"{image: host}", nil},
		"a registry's image":     {"{image: 'debian:12'}", nil},
		"a default capability":   {"{caps: [NET_ADMIN, -NET_RAW, -SYS_ADMIN]}", nil},
		"beneath":                {"{binds: ['./file:/a', './tree:/b:rw', '.:/c', 'DIR/lab/file:/d', './inside/deep:/e', './round:/f']}", nil},
		"image beneath":          {"{image: 'dir:./tree', layers: [./tree/deep]}", nil},
		"loopback":               {"{ports: ['80:80', '127.9.9.9:81:80', '[::1]:82:80']}", nil},
		"elsewhere":              {"{binds: ['/usr:/a']}", []string{"2:21: asks for the path /usr, to read"}},
		"elsewhere, to write":    {"{binds: ['/usr:/a:rw']}", []string{"2:21: asks for the path /usr, to read and write"}},
		"by ..":                  {"{binds: ['./tree/../../other:/a']}", []string{"2:21: asks for the path DIR/other, to read"}},
		"by a link":              {"{binds: ['./out/secret:/a']}", []string{"2:21: asks for the path DIR/other/secret, to read"}},
		"by a link to proc":      {"{binds: ['./kernel:/a']}", []string{"2:21: asks for the path /proc/1, to read"}},
		"the engine's socket":    {"{binds: ['./socket:/a']}", []string{"2:21: asks for the path DIR/lab/docker.sock, to read"}},
		"the host":               {"{binds: ['/:/a', '/sys:/b']}", []string{"2:21: asks for the path /, to read", "2:29: asks for the path /sys, to read"}},
		"as root":                {"{binds: ['./tree:/a:rw,idmap']}", []string{"2:21: asks for writing as root in DIR/lab/tree"}},
		"as root, elsewhere":     {"{binds: ['../other:/a:rw,idmap']}", []string{"2:21: asks for the path DIR/other, to read and write", "2:21: asks for writing as root in DIR/other"}},
		"twice":                  {"{binds: ['/usr:/a', '/usr:/b']}", []string{"2:21: asks for the path /usr, to read"}},
		"an image elsewhere":     {"{image: 'dir:/usr'}", []string{"2:20: asks for the path /usr, to read"}},
		"a layer elsewhere":      {"{layers: [../other]}", []string{"2:22: asks for the path DIR/other, to read"}},
		"layers of a union":      {"{unions: [{path: /u, layers: ['./tree:rw', {dir: ../other}]}]}", []string{"2:42: asks for writing as root in DIR/lab/tree", "2:61: asks for the path DIR/other, to read"}},
		"an archive elsewhere":   {"{image: 'docker-archive:../other/secret'}", []string{"2:20: asks for the path DIR/other/secret, to read"}},
		"an archive beneath":     {"{image: 'docker-archive:file'}", nil},
		"the engine's image":     {"{image: 'docker-daemon:web:1'}", []string{"2:20: asks for the image docker-daemon:web:1"}},
		"privileged":             {"{privileged: true}", []string{"2:25: asks for privileged: true, which is root of the host"}},
		"privileged and more":    {"{privileged: true, caps: [SYS_ADMIN], seccomp: unconfined}", []string{"2:25: asks for privileged: true, which is root of the host"}},
		"unconfined":             {"{seccomp: unconfined}", []string{"2:22: asks for seccomp: unconfined, which is every system call"}},
		"new privileges":         {"{nnp: false}", []string{"2:18: asks for nnp: false, with which set-user-ID programs work"}},
		"capabilities":           {"{caps: [SYS_ADMIN, BPF, KILL]}", []string{"2:19: asks for the capability BPF", "2:19: asks for the capability SYS_ADMIN"}},
		"ports":                  {"{ports: ['0.0.0.0:80:80', '[::]:81:80/udp']}", []string{"2:21: asks for the host's port 0.0.0.0:80/tcp", "2:38: asks for the host's port [::]:81/udp"}},
		"of the defaults":        {"{}\ndefaults: {privileged: true, binds: ['/usr:/a']}", []string{"3:24: asks for privileged: true, which is root of the host", "3:38: asks for the path /usr, to read"}},
		"not of the defaults":    {"{binds: [], privileged: false}\ndefaults: {privileged: true, binds: ['/usr:/a']}", nil},
		"a bridge of the host's": {"{}\nbridges: {br7: {external: true}, br8: {external: false}}", []string{"3:27: asks for the host's bridge br7"}},
		"bridges of other labs":  {"{}\nbridges: {b: {address: 192.0.2.1/24, peers: [x/lan0, y/lan0]}}", []string{"3:45: asks for the other lab's bridge x/lan0", "3:45: asks for the other lab's bridge y/lan0"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := "name: t\nnodes: {a: " + strings.ReplaceAll(c.node, "DIR", dir)
			if strings.Contains(c.node, "\n") {
				text = strings.Replace(text, "\n", "\x00", 1)
				text = strings.Replace(text, "\n", "}\n", 1)
				text = strings.Replace(text, "\x00", "\n", 1)
			} else {
				text += "}"
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			want := []string(nil)
			for _, w := range c.want {
				want = append(want, strings.ReplaceAll(w, "DIR", dir))
			}
			if diff := cmp.Diff(want, asked(t, path, Options{CheckFiles: true})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Text that is of no file has no directory of its own, and neither has what comes out of a pipe.
func TestTextHasNoDirectory(t *testing.T) {
	dir := own(t)
	text := "name: t\nnodes: {a: {binds: ['./file:/a']}}"
	for name, load := range map[string]func() (*Lab, error){
		"parsed": func() (*Lab, error) {
			return Parse(filepath.Join(dir, "lab/lab.yaml"), []byte(text), Options{CheckFiles: true})
		},
		"read": func() (*Lab, error) {
			t.Chdir(filepath.Join(dir, "lab"))
			return Read("<stdin>", strings.NewReader(text), Options{CheckFiles: true})
		},
		"piped": func() (*Lab, error) {
			r, w, err := os.Pipe()
			if err != nil {
				return nil, err
			}
			defer r.Close()
			if _, err := w.WriteString(strings.Replace(text, "./file", dir+"/lab/file", 1)); err != nil {
				return nil, err
			}
			w.Close()
			return Load(fmt.Sprintf("/proc/self/fd/%d", r.Fd()), Options{CheckFiles: true})
		},
	} {
		l, err := load()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := []Ask{{Kind: AskPaths, What: filepath.Join(dir, "lab/file")}}
		if diff := cmp.Diff(want, l.Asks()); diff != "" || l.File != "" {
			t.Errorf("%s: file %q, (-want +got)\n%s", name, l.File, diff)
		}
	}
}

// What a lab was read from is found by what was read, and not by its name: the file, and the directory that its paths begin at.
func TestFileOfLab(t *testing.T) {
	dir := own(t)
	path := filepath.Join(dir, "lab/lab.yaml")
	if err := os.WriteFile(path, []byte("name: t\nnodes: {a: {binds: ['./file:/a', './out/secret:/b']}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "other/link.yaml")
	if err := errors.Join(os.Symlink(path, link), os.Symlink("lab", filepath.Join(dir, "linked"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "other"))
	for _, name := range []string{path, link, "link.yaml", filepath.Join(dir, "linked/lab.yaml")} {
		l, err := Load(name, Options{CheckFiles: true})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "lab"))
		if err != nil {
			t.Fatal(err)
		}
		if l.File != path || l.Dir != filepath.Dir(path) || !os.SameFile(l.DirInfo, info) {
			t.Errorf("%s: file %s in %s, want %s", name, l.File, l.Dir, path)
		}
		if diff := cmp.Diff([]Ask{{Kind: AskPaths, What: filepath.Join(dir, "other/secret")}}, l.Asks()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if got := l.HostPath(filepath.Join(dir, "lab/file")); got != (HostPath{filepath.Join(dir, "lab/file"), "file"}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := os.WriteFile(path, []byte("name: t\nnodes: {a: {binds: ['./secret:/a']}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := link + ":2:21: bind source \"./secret\" does not exist in " + filepath.Dir(path) + ", where the file is that " + link + " leads to"
	if _, err := Load(link, Options{CheckFiles: true}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A descriptor's name is as standard input, whatever file is open by it.
func TestDescriptorHasNoDirectory(t *testing.T) {
	dir := own(t)
	path := filepath.Join(dir, "lab/lab.yaml")
	if err := os.WriteFile(path, []byte("name: t\nnodes: {a: {binds: ['./file:/a']}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Chdir(filepath.Join(dir, "lab"))
	link := filepath.Join(dir, "link.yaml")
	fd := fmt.Sprint(f.Fd())
	if err := os.Symlink("/dev/fd/"+fd, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/dev/fd/" + fd, "/proc/self/fd/" + fd, "/proc/thread-self/fd/" + fd, link, "/proc/self/cwd/lab.yaml"} {
		l, err := Load(name, Options{CheckFiles: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff([]Ask{{Kind: AskPaths, What: filepath.Join(dir, "lab/file")}}, l.Asks()); diff != "" || l.File != "" || l.DirInfo != nil {
			t.Errorf("%s: file %q, (-want +got)\n%s", name, l.File, diff)
		}
	}
}

func TestHostPath(t *testing.T) {
	for _, c := range []struct{ real, dir, beneath string }{
		{"/l/x", "/l", "x"}, {"/l", "/l", "."}, {"/l/x/y", "/l", "x/y"}, {"/lx", "/l", ""}, {"/", "/l", ""},
		{"/x", "/", ""}, {"/", "/", ""}, {"/proc/x", "/proc", ""}, {"/sys/x", "/sys", ""}, {"/l/docker.sock", "/l", ""},
	} {
		if got := hostPath(c.real, c.dir); got != (HostPath{c.real, c.beneath}) {
			t.Errorf("%s to %s: %+v", c.real, c.dir, got)
		}
	}
}

// However much a file asks for, to find where it does so costs little beside reading it.
func TestFileThatAsksForMuch(t *testing.T) {
	t.Parallel()
	took := map[string]time.Duration{}
	for _, addr := range []string{"127.0.0.1", "192.0.2.1"} {
		text := []byte("name: t\nnodes:\n  a:\n    ports:\n" + count("    - '"+addr+":1%d:1'\n", 10000) + count("    - '"+addr+":1%d:1/udp'\n", 10000))
		var l *Lab
		var err error
		cpu, noCPU := testenv.CPU(func() {
			if l, err = Parse("lab.yaml", text, Options{}); err == nil {
				l.Asks()
			}
		})
		if err := errors.Join(err, noCPU); err != nil {
			t.Fatal(err)
		}
		took[addr] = cpu
		if addr == "192.0.2.1" {
			asks := l.Asks()
			last := l.AskedAt[asks[len(asks)-1]]
			if len(asks) != 20000 || last.Line != 20004 || asks[len(asks)-1].What != "192.0.2.1:19999/udp" {
				t.Errorf("%d asks, the last is %s at line %d", len(asks), asks[len(asks)-1], last.Line)
			}
		}
	}
	if took["192.0.2.1"] > 8*took["127.0.0.1"] {
		t.Errorf("20000 ports that are asked for take %s, others %s", took["192.0.2.1"], took["127.0.0.1"])
	}
}

func TestFindPath(t *testing.T) {
	t.Parallel()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(base, "own")
	if err := os.MkdirAll(filepath.Join(own, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"in": "data", "out": "..", "back": own + "/data"} {
		if err := os.Symlink(to, filepath.Join(own, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]HostPath{
		"/own/in/": {own + "/data", "data"}, "/own/back": {own + "/data", "data"}, "/own": {own, "."}, "/own/out": {base, ""}, "/own/out/own/in": {own + "/data", "data"},
	} {
		if got, err := FindPath(base+path, own); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", path, got, err, want)
		}
	}
	if got, err := FindPath(own+"/in", ""); got != (HostPath{own + "/data", ""}) || err != nil {
		t.Errorf("without a directory: %v, %v", got, err)
	}
	if got, err := FindPath(own+"/none", own); err == nil {
		t.Errorf("what does not exist leads to %v", got)
	}
}
