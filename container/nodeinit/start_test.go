package nodeinit

import (
	"bytes"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// The package's init function runs before almost all others only as long as it waits for
// few: Go initialises a package when all that it imports is ready.
func TestImports(t *testing.T) {
	t.Parallel()
	const wire, passwd = "github.com/nsnet/nsnet/container/wire", "github.com/nsnet/nsnet/container/passwd"
	for dir, allowed := range map[string][]string{
		".":         {"syscall", "sync", "unsafe", wire, passwd},
		"../wire":   nil,
		"../passwd": {"errors"},
	} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, error %v", dir, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range file.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(allowed, path) {
					t.Errorf("%s imports %s: a node's init would wait for it, and each node pay for it", name, path)
				}
			}
		}
	}
}

// initialised are the packages that a process of the nsnet binary initialises, in order, by
// the runtime's own account.
func initialised(t *testing.T, env string, args ...string) []string {
	t.Helper()
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	_ = ours.Close() // the end of file that ends a node init
	defer theirs.Close()
	cmd := exec.CommandContext(t.Context(), testenv.Binary(t), args...)
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1", env)
	cmd.ExtraFiles = []*os.File{theirs}
	var out, trace bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trace
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), trace.String())
	}
	var packages []string
	for line := range strings.Lines(trace.String()) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "init" {
			packages = append(packages, f[1])
		}
	}
	return packages
}

func socketPair() (a, b *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(p[0]), "ours"), os.NewFile(uintptr(p[1]), "theirs"), nil
}

// A node costs a millisecond and half a megabyte less when its init does not wait for what
// the rest of nsnet needs.
func TestRunsBeforeHeavyPackages(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "go")
	const self = "github.com/nsnet/nsnet/container/nodeinit"
	heavy := []string{"os", "time", "reflect", "unicode", "net", "net/netip", "regexp", "encoding/json", "crypto/sha256",
		"golang.org/x/sys/unix", "github.com/spf13/pflag", "go.yaml.in/yaml/v4"}
	whole := initialised(t, "_NSNET_TEST=", "version")
	at := slices.Index(whole, self)
	if at < 0 {
		t.Fatalf("an ordinary process does not initialise %s:\n%s", self, strings.Join(whole, "\n"))
	}
	for _, role := range []string{"node", "spawn"} {
		before := initialised(t, EnvKey+"="+role)
		if slices.Contains(before, self) || len(before) > 20 {
			t.Errorf("%s: %d packages are initialised, this one wholly: it did not end in its init function:\n%s", role, len(before), strings.Join(before, "\n"))
		}
		for _, p := range heavy {
			if slices.Contains(before, p) {
				t.Errorf("%s: package %s is initialised first", role, p)
			}
		}
	}
	found := 0
	for _, p := range heavy {
		if i := slices.Index(whole, p); i >= 0 {
			found++
			if i < at {
				t.Errorf("package %s is initialised first", p)
			}
		}
	}
	if found < len(heavy)/2 {
		t.Errorf("only %d of the heavy packages are in nsnet at all: the list is out of date", found)
	}
}
