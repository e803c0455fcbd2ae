package nodeinit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nsnet/nsnet/container/wire"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{
		"/":         {"/", ""},
		"/a":        {"/", "a"},
		"/a/b":      {"/a", "b"},
		"/a/b/c.so": {"/a/b", "c.so"},
		"a":         {"/", "a"},
		"a/b":       {"a", "b"},
		"/a/":       {"/a", ""},
		"":          {"/", ""},
	} {
		if parent, name := split(path); parent != want[0] || name != want[1] {
			t.Errorf("%q is split into %q and %q, not %q", path, parent, name, want)
		}
	}
}

func TestHasSlash(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[a/.]{0,4}`).Draw(t, "s")
		if got := hasSlash(s); got != strings.Contains(s, "/") {
			t.Fatalf("%q: %v", s, got)
		}
	})
}

func TestGet(t *testing.T) {
	t.Parallel()
	env := []string{"A=1", "AB=2", "EMPTY=", "X=a=b", "A=3", "=odd", "noequals", "PATH"}
	for key, want := range map[string]string{"A": "3", "AB": "2", "EMPTY": "", "X": "a=b", "B": "", "noequals": "", "PATH": "", "a": ""} {
		if got := get(env, key); got != want {
			t.Errorf("%s is %q, not %q", key, got, want)
		}
	}
	if got := get(nil, "A"); got != "" {
		t.Errorf("in an empty environment: %q", got)
	}
}

func TestDecimal(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 7: "7", 10: "10", 4194304: "4194304"} {
		if got := decimal(n); got != want {
			t.Errorf("%d is written %q", n, got)
		}
	}
}

// tree is a directory with programs and what is none.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"bin/prog": 0o755, "bin/plain": 0o644, "bin/both": 0o644, "sbin/both": 0o711, "sbin/prog": 0o755, "srv/serve-it": 0o700, "file": 0o755,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "bin/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"bin/link": "../sbin/prog", "bin/dangling": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	path := func(parts ...string) string {
		for i := range parts {
			if parts[i] != "" {
				parts[i] = dir + "/" + parts[i]
			}
		}
		return "PATH=" + strings.Join(parts, ":")
	}
	both := path("bin", "sbin")
	s := &state{}
	for _, tc := range []struct {
		name, path string
		want       string // below dir
		errno      syscall.Errno
	}{
		{"prog", both, "bin/prog", 0},
		{"prog", path("sbin", "bin"), "sbin/prog", 0},
		{"both", both, "sbin/both", 0}, // what cannot be executed is passed over
		{"link", both, "bin/link", 0},
		{"plain", both, "", syscall.EACCES},
		{"plain", path("sbin", "bin", "srv"), "", syscall.EACCES}, // also when nothing follows
		{"dir", both, "", syscall.EACCES},
		{"dangling", both, "", syscall.ENOENT},
		{"missing", both, "", syscall.ENOENT},
		{"prog", "PATH=", "", syscall.ENOENT},
		{"prog", "OTHER=1", "", syscall.ENOENT},
		{"prog", path("", "nodir", "file", "bin", ""), "bin/prog", 0}, // empty and wrong parts
		{"x", path("file"), "", syscall.ENOENT},
	} {
		got, f := s.find(tc.name, []string{"PATH=/nonsense", tc.path}, "/")
		want := ""
		if tc.want != "" {
			want = dir + "/" + tc.want
		}
		if tc.path == "OTHER=1" {
			got, f = s.find(tc.name, []string{tc.path}, "/")
		}
		if got != want || f.errno != tc.errno {
			t.Errorf("%s in %s: %q, %v; want %q, %v", tc.name, tc.path, got, f, want, tc.errno)
		}
		if tc.errno != 0 && f.text != tc.name {
			t.Errorf("%s: the failure is said to be of %q", tc.name, f.text)
		}
	}
}

func TestFindWithSlash(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	s := &state{}
	for _, tc := range []struct {
		name, dir string
		want      string
		errno     syscall.Errno
	}{
		{dir + "/bin/prog", "/nowhere", dir + "/bin/prog", 0},
		{"./serve-it", dir + "/srv", "./serve-it", 0},
		{"srv/serve-it", dir, "srv/serve-it", 0},
		{"./serve-it", dir, "", syscall.ENOENT},
		{dir + "/bin/plain", "/", "", syscall.EACCES},
		{dir + "/bin", "/", "", syscall.EACCES},
		{dir + "/file/x", "/", "", syscall.ENOENT},
		{dir + "/bin/prog/", "/", "", syscall.ENOENT},
	} {
		got, f := s.find(tc.name, []string{"PATH=" + dir + "/bin"}, tc.dir)
		if got != tc.want || f.errno != tc.errno {
			t.Errorf("%s in %s: %q, %v; want %q, %v", tc.name, tc.dir, got, f, tc.want, tc.errno)
		}
	}
}

// The check at boot agrees with the start: a relative path is seen from the workdir.
func TestFindCommandStep(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	for name, tc := range map[string]struct {
		text  []string
		errno syscall.Errno
	}{
		"in PATH":       {[]string{"prog", dir + "/bin", ""}, 0},
		"in workdir":    {[]string{"./serve-it", dir + "/bin", dir + "/srv"}, 0},
		"not in /":      {[]string{"./serve-it", dir + "/bin", ""}, syscall.ENOENT},
		"no program":    {[]string{"plain", dir + "/bin", ""}, syscall.EACCES},
		"not in a PATH": {[]string{"prog", "", dir + "/bin"}, syscall.ENOENT},
	} {
		if f := (&state{}).step(&wire.Step{Op: wire.OpFindCommand, Text: tc.text}, nil); f.errno != tc.errno {
			t.Errorf("%s: %v, want %v", name, f, tc.errno)
		}
	}
}

// What a node says of a command before it is started is what it would say at the start, and nothing is left of the question.
func TestLook(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	path := []string{"PATH=/no/such:" + dir + "/bin"}
	for name, tc := range map[string]struct {
		cmd   wire.Command
		errno syscall.Errno
	}{
		"in PATH":       {wire.Command{Argv: []string{"prog"}, Env: path}, 0},
		"missing":       {wire.Command{Argv: []string{"porg"}, Env: path}, syscall.ENOENT},
		"no program":    {wire.Command{Argv: []string{"plain"}, Env: path}, syscall.EACCES},
		"nothing":       {wire.Command{}, syscall.EINVAL},
		"no such user":  {wire.Command{Argv: []string{"prog"}, Env: path, User: "nobody-of-that-name"}, syscall.EINVAL},
		"no directory":  {wire.Command{Argv: []string{"prog"}, Env: path, Workdir: dir + "/none"}, noDirectory},
		"by a path":     {wire.Command{Argv: []string{"./serve-it"}, Env: path, Workdir: dir + "/srv"}, 0},
		"not by a path": {wire.Command{Argv: []string{"./serve-it"}, Env: path}, syscall.ENOENT},
	} {
		ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		tc.cmd.Streams = wire.Look
		var w wire.Writer
		tc.cmd.Encode(&w)
		s := &state{}
		s.startExec(request{body: w.Bytes(), fds: []int{ends[1]}})
		k, body, _, more := receive(ends[0])
		f := wire.DecodeFailure(wire.NewReader(body))
		if want := map[bool]wire.Kind{true: wire.Ready, false: wire.Failed}[tc.errno == 0]; !more || k != want || k == wire.Failed && syscall.Errno(f.Errno) != tc.errno {
			t.Errorf("%s: answer %d, %+v, want %v", name, k, f, tc.errno)
		}
		if _, _, _, more := receive(ends[0]); more || len(s.clients)+len(s.procs) > 0 {
			t.Errorf("%s: the question goes on: %d clients, %d processes", name, len(s.clients), len(s.procs))
		}
		_ = syscall.Close(ends[0])
	}
}

// A program stops at its first failure and tells which step that was, and malformed ones are refused.
func TestProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var w wire.Writer
	wire.Encode(&w, []wire.Step{
		{Op: wire.OpMkdir, Text: []string{dir + "/a"}, Number: []uint64{0o755}},
		{Op: wire.OpMkdir, Text: []string{dir + "/a"}, Number: []uint64{0o755}}, // which is there
		{Op: wire.OpWrite, Text: []string{dir + "/a/f", "text"}, Number: []uint64{0o644}},
		{Op: wire.OpWrite, Text: []string{dir + "/a/f", "again"}, Number: []uint64{0o644}},
		{Op: wire.OpMkdir, Text: []string{dir + "/b"}, Number: []uint64{0o755}},
	})
	s := &state{root: -1}
	f := s.program(w.Bytes(), nil)
	if f == nil || f.Step != 3 || syscall.Errno(f.Errno) != syscall.EEXIST || f.Text != dir+"/a/f" {
		t.Errorf("the failure is %+v", f)
	}
	if b, err := os.ReadFile(dir + "/a/f"); err != nil || string(b) != "text" {
		t.Errorf("the file holds %q, error %v", b, err)
	}
	if _, err := os.Stat(dir + "/b"); err == nil {
		t.Error("a step after the failure was carried out")
	}
	for name, body := range map[string][]byte{"cut short": w.Bytes()[:3], "unknown step": {99, 0, 0}} {
		if f := s.program(body, nil); f == nil || f.Step != 0 || f.Errno == 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := s.program(nil, nil); f != nil {
		t.Errorf("an empty program: %+v", f)
	}
}

// What is missing below the root is made there, and links never lead out of it.
func TestEnsure(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	for name, target := range map[string]string{
		"up": "../../../../../.." + outside, "abs": outside, "inner": "real",
		// Links to nothing, as images have them for what is there on a machine that runs systemd.
		"resolv.conf": "../run/systemd/stub.conf", "localtime": "/usr/share/zone", "first": "second", "second": "/third", "dir": "/var/made", "parent": "lost/../found",
		"loop": "pool", "pool": "loop", "self": "/self/x",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/real", 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Open(dir, oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	s := &state{root: fd}
	for _, tc := range []struct {
		path string
		dir  bool
		want string // below dir; empty: refused
	}{
		{"/a/b/c", true, "a/b/c"},
		{"/a/b/file", false, "a/b/file"},
		{"/top", false, "top"},
		{"//x//y", true, "x/y"},
		{"/inner/deep/file", false, "real/deep/file"},
		{"/a", true, "a"}, // is there
		// Where links to nothing lead in the root, things are made there.
		{"/up/evil", true, outside + "/evil"},
		{"/abs/evil2", false, outside + "/evil2"},
		{"/resolv.conf", false, "run/systemd/stub.conf"},
		{"/localtime", false, "usr/share/zone"},
		{"/first", false, "third"},
		{"/dir", true, "var/made"},
		{"/dir/below/file", false, "var/made/below/file"},
		{"/parent", false, "found"},
		{"/loop", false, ""},
		{"/loop/below", true, ""},
		{"/self", true, ""},
		{"/top/below", true, ""},
	} {
		f := s.ensure(tc.path, tc.dir)
		if tc.want == "" {
			if f == ok {
				t.Errorf("%s was made", tc.path)
			}
			continue
		}
		st, err := os.Lstat(filepath.Join(dir, tc.want))
		if f != ok || err != nil || st.IsDir() != tc.dir {
			t.Errorf("%s: %v, error %v", tc.path, f, err)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("made outside of the root: %v, error %v", left, err)
	}
}

// The log is bounded, and its end is always there.
func TestPump(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(name string) int {
		fd, err := syscall.Open(filepath.Join(dir, name), syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	log := &logFile{fd: open("log"), old: open("old")}
	defer closeAll([]int{log.fd, log.old})
	go func() {
		pumpAll(newOutput(p[0], log))
		close(done)
	}()
	var all bytes.Buffer
	line := strings.Repeat("0123456789abcde\n", 1000)
	for all.Len() < 3*logMax+logMax/2 {
		all.WriteString(line)
		if err := writeAll(p[1], line); err != nil {
			t.Fatal(err)
		}
	}
	_ = syscall.Close(p[1])
	<-done
	var kept []byte
	for _, name := range []string{"old", "log"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		text := outputOf(t, b)
		if err != nil || len(text) > logMax {
			t.Fatalf("%s holds %d bytes, error %v", name, len(b), err)
		}
		kept = append(kept, text...)
	}
	if len(kept) < logMax || !bytes.HasSuffix(all.Bytes(), kept) {
		t.Errorf("%d bytes are kept, which are not the last of %d", len(kept), all.Len())
	}
}

// outputOf returns what the chunks of a log hold, each of which has a time of today.
func outputOf(t *testing.T, log []byte) (text []byte) {
	t.Helper()
	for len(log) > 0 {
		n, micros, ok := wire.ParseLogHeader(log)
		if age := time.Since(time.UnixMicro(int64(micros))); !ok || len(log) < wire.LogHeader+n || age < 0 || age > time.Hour {
			t.Fatalf("no chunk: %q, %d bytes of %s ago", log[:min(len(log), 40)], n, age)
		}
		text = append(text, log[wire.LogHeader:][:n]...)
		log = log[wire.LogHeader+n:]
	}
	return text
}

// A command that writes a byte at a time does not fill the machine with headers, and a full disk
// leaves the log readable.
func TestLogOfSmallWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var fds [2]int
	for i := range fds {
		fd, err := syscall.Open(filepath.Join(dir, fmt.Sprint(i)), syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		fds[i] = fd
	}
	defer closeAll(fds[:])
	log := &logFile{fd: fds[0], old: fds[1]}
	for i := range logFileMax/(wire.LogHeader+1) + 100 {
		log.append(append(make([]byte, wire.LogHeader), byte('a'+i%26)))
	}
	older, err := os.ReadFile(filepath.Join(dir, "1"))
	if err != nil || len(older) > logFileMax || len(older) < logFileMax-100 {
		t.Errorf("the older log holds %d bytes, error %v", len(older), err)
	}
	outputOf(t, older)
	newer, err := os.ReadFile(filepath.Join(dir, "0"))
	if text := outputOf(t, newer); err != nil || len(text) < 100 || len(text) > 200 {
		t.Errorf("the log holds %d bytes of output, error %v", len(text), err)
	}
}

func TestLogOnAFullDisk(t *testing.T) {
	t.Parallel()
	full, err := syscall.Open("/dev/full", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(full)
	log := &logFile{fd: full, old: -1}
	log.append(append(make([]byte, wire.LogHeader), "lost"...))
	if log.size != 0 || log.output != 0 {
		t.Errorf("what was not written is counted: %+v", log)
	}
}

// pumpAll copies an output until its end, as the loop does.
func pumpAll(o *output) {
	for !o.ended {
		fds := []pollFD{{fd: int32(o.from), events: pollIn}}
		if e := poll(fds); e != 0 {
			return
		}
		o.pump()
	}
}

// When a command's end is reported its log has all that it wrote, also while something in
// the background keeps the pipe open.
func TestDrain(t *testing.T) {
	t.Parallel()
	log, err := os.OpenFile(filepath.Join(t.TempDir(), "log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	o := newOutput(p[0], &logFile{fd: int(log.Fd()), old: -1})
	for total := int64(0); total < logMax/2; {
		line := strings.Repeat("x", 1+int(total)%5000)
		if err := writeAll(p[1], line); err != nil {
			t.Fatal(err)
		}
		total += int64(len(line))
		o.drain()
		text, err := os.ReadFile(log.Name())
		if got := int64(len(outputOf(t, text))); err != nil || got != total {
			t.Fatalf("of %d bytes the log has %d, error %v", total, got, err)
		}
	}
	_ = syscall.Close(p[1])
	pumpAll(o)
	o.drain() // of an output that has ended
}
