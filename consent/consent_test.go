package consent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nsnet/nsnet/topology"
)

// host is a machine of the test's own, and write puts a topology file there and loads it.
func host(t *testing.T) (h Host, dir string) {
	t.Helper()
	dir = t.TempDir()
	return Host{StoreIn(filepath.Join(dir, "var/consent")), filepath.Join(dir, "trust")}, dir
}

func write(t *testing.T, path, node string) *topology.Lab {
	t.Helper()
	if err := os.WriteFile(path, []byte("name: t\nnodes: {a: "+node+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(t, path)
}

func load(t *testing.T, path string) *topology.Lab {
	t.Helper()
	l, err := topology.Load(path, topology.Options{CheckFiles: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// missing is what a lab is refused for, each as --allow names it.
func missing(t *testing.T, err error) string {
	t.Helper()
	var refused *RefusedError
	if !errors.As(err, &refused) {
		if err != nil {
			t.Fatal(err)
		}
		return ""
	}
	var kinds []string
	for _, m := range refused.Missing {
		kinds = append(kinds, strings.TrimSpace(string(m.Kind)+" "+m.What))
	}
	return strings.Join(kinds, ", ")
}

func TestObtain(t *testing.T) {
	h, dir := host(t)
	path := filepath.Join(dir, "lab.yaml")
	step := func(what, node string, given Given, want string) {
		t.Helper()
		if got := missing(t, h.Obtain(t.Context(), write(t, path, node), given, nil)); got != want {
			t.Errorf("%s: refused for %q, want %q", what, got, want)
		}
	}
	const usr, more = "{binds: ['/usr:/a'], nnp: false}", "{binds: ['/usr:/a', '/etc:/b'], nnp: false}"
	paths := Given{Kinds: []topology.AskKind{topology.AskPaths}}
	step("nothing asked", "{}", Given{}, "")
	step("not allowed", usr, Given{}, "paths /usr, nnp")
	if _, err := os.Stat(filepath.Join(dir, "var")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refusal has made the store: %v", err)
	}
	step("another kind allowed", usr, paths, "nnp")
	step("a refusal keeps nothing", "{binds: ['/usr:/a']}", Given{}, "paths /usr")
	step("all kinds allowed", usr, Given{Kinds: append(paths.Kinds, topology.AskNNP)}, "")
	step("allowed before", usr, Given{}, "")
	step("less than before", "{nnp: false}", Given{}, "")
	step("one more path", more, Given{}, "paths /etc")
	step("to write what may be read", "{binds: ['/usr:/a:rw']}", Given{}, "paths /usr")
	step("all", "{binds: ['/usr:/a:rw'], seccomp: unconfined}", Given{All: true}, "")
	step("to read what may be written", more, paths, "")
	step("what was added", "{binds: ['/etc:/a', '/usr:/a2:rw'], nnp: false, seccomp: unconfined}", Given{}, "")

	all, err := h.Store.All()
	if err != nil || len(all) != 1 || all[0].File != path {
		t.Fatalf("%+v, %v", all, err)
	}
	want := []string{"nnp: false, with which set-user-ID programs work", "the path /usr, to read and write", "seccomp: unconfined, which is every system call", "the path /etc, to read"}
	var got []string
	for _, a := range all[0].Asks {
		got = append(got, a.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, had := range []bool{true, false} {
		if got, err := h.Store.Withdraw(path); got != had || err != nil {
			t.Errorf("withdraw: %v, %v", got, err)
		}
	}
	step("withdrawn", usr, Given{}, "paths /usr, nnp")
}

// What one file was allowed is no other's: not of the same lab, not one that a link leads to, not one of another owner.
func TestOtherFiles(t *testing.T) {
	h, dir := host(t)
	const node = "{privileged: true}"
	one, two := filepath.Join(dir, "one.yaml"), filepath.Join(dir, "two.yaml")
	if err := h.Obtain(t.Context(), write(t, one, node), Given{All: true}, nil); err != nil {
		t.Fatal(err)
	}
	if got := missing(t, h.Obtain(t.Context(), write(t, two, node), Given{}, nil)); got != "privileged" {
		t.Errorf("the same lab of another file: refused for %q", got)
	}
	link := filepath.Join(dir, "link.yaml")
	for to, want := range map[string]string{one: "", two: "privileged"} {
		_ = os.Remove(link)
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
		if got := missing(t, h.Obtain(t.Context(), load(t, link), Given{}, nil)); got != want {
			t.Errorf("a link to %s: refused for %q", to, got)
		}
	}
	// The link is exchanged when the file was read.
	_ = os.Remove(link)
	if err := os.Symlink(two, link); err != nil {
		t.Fatal(err)
	}
	l := load(t, link)
	_ = os.Remove(link)
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	if got := missing(t, h.Obtain(t.Context(), l, Given{}, nil)); got != "privileged" {
		t.Errorf("a link that is exchanged: refused for %q", got)
	}
	text, err := topology.Parse(one, []byte("name: t\nnodes: {a: "+node+"}\n"), topology.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := missing(t, h.Obtain(t.Context(), text, Given{}, nil)); got != "privileged" {
		t.Errorf("text: refused for %q", got)
	}
	if kept, err := h.Store.Of(one, uint32(os.Geteuid())+1); kept != nil || err != nil {
		t.Errorf("of another owner: %v, %v", kept, err)
	}
}

func TestStoreOfOthers(t *testing.T) {
	h, dir := host(t)
	path := filepath.Join(dir, "lab.yaml")
	l := write(t, path, "{privileged: true}")
	if err := h.Obtain(t.Context(), l, Given{All: true}, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.Store.dir, 0o770); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"read": h.Obtain(t.Context(), l, Given{}, nil), "written": h.Obtain(t.Context(), l, Given{All: true}, nil)} {
		if err == nil || !strings.Contains(err.Error(), "only its owner") {
			t.Errorf("a store that a group may write is %s: %v", name, err)
		}
	}
	if err := os.Chmod(h.Store.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Store.name(path), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Obtain(t.Context(), l, Given{}, nil); err == nil || !strings.Contains(err.Error(), "remove it, and allow it again") {
		t.Errorf("a file that is damaged: %v", err)
	}
}

func TestLists(t *testing.T) {
	const setting = "# labs\n\n  /srv/labs/ \nrelative\n#/etc\n/opt/./x\n"
	for path, want := range map[string]bool{
		"/srv/labs/a.yaml": true, "/srv/labs/b/a.yaml": true, "/srv/labs2/a.yaml": false, "/srv/a.yaml": false,
		"/etc/a.yaml": false, "/opt/x/a.yaml": true, "/relative/a.yaml": false, "/srv/labs": false,
	} {
		if got := lists(setting, path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if !lists("/\n", "/a.yaml") {
		t.Error("/ does not list everything")
	}
}

func TestParseKinds(t *testing.T) {
	got, err := ParseKinds("paths, caps")
	if diff := cmp.Diff([]topology.AskKind{topology.AskPaths, topology.AskCaps}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, s := range []string{"", "all", "paths,", "Paths"} {
		if _, err := ParseKinds(s); err == nil || !strings.Contains(err.Error(), "is none of caps, external, nnp") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestRefusedText(t *testing.T) {
	_, dir := host(t)
	l := write(t, filepath.Join(dir, "lab.yaml"), "{privileged: true, binds: ['/usr:/a', '/etc:/b']}")
	v, err := Host{StoreIn(dir + "/none"), "/none"}.Judge(l, Given{})
	if err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if err := v.Refused(); !errors.As(err, &refused) {
		t.Fatal(err)
	}
	want := "the file asks for privileged: true, which is root of the host (DIR/lab.yaml:2:25); the path /usr, to read (DIR/lab.yaml:2:39); the path /etc, to read (DIR/lab.yaml:2:50)"
	if got := strings.ReplaceAll(refused.Error(), dir, "DIR"); got != want {
		t.Error(got)
	}
	if got := refused.Remedy(); got != "if this is meant, allow it with --allow paths,privileged, or all that the file asks for with --trust" {
		t.Error(got)
	}
}

// Who waits for another nsnet that keeps something stops with the context.
func TestKeepIsInterrupted(t *testing.T) {
	t.Parallel()
	s := StoreIn(filepath.Join(t.TempDir(), "consent"))
	if err := s.Keep(t.Context(), "/labs/other.yaml", 0, []topology.Ask{{Kind: topology.AskNNP}}); err != nil {
		t.Fatal(err)
	}
	held, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Keep(ctx, "/labs/lab.yaml", 0, []topology.Ask{{Kind: topology.AskCaps, What: "SYS_ADMIN"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
