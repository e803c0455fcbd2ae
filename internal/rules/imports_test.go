package rules

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nsnet/nsnet/"

// layer is how far up a package stands, by the first element of its path. A package imports what
// stands lower, and its own tree: lab alone knows the packages of the kernel's objects, and they
// do not know each other.
func layer(dir string) (int, error) {
	switch first, _, _ := strings.Cut(dir, "/"); first {
	case "ipam":
		return 0, nil
	case "topology":
		return 1, nil
	case "internal":
		switch dir {
		case "internal/inroot":
			return 0, nil // by which topology files are opened
		case "internal/attacks", "internal/testenv", "internal/imagetest", "internal/bench", "internal/goals", "internal/rules", "internal/vm":
			return 6, nil // for tests and developers; nothing that ships imports them
		}
		return 1, nil
	case "bridge", "veth", "dns", "container", "cgroups", "overlayfs", "image", "consent":
		return 2, nil
	case "lab":
		return 3, nil
	case "doctor":
		return 4, nil
	case "attach":
		return 4, nil
	case "cmd":
		return 5, nil
	case "e2e":
		return 6, nil // tests of the whole program
	}
	return 0, fmt.Errorf("%s: no layer; give it one here, and a line in the design", dir)
}

// Data flows one way: file, spec, plan, kernel.
func TestImportsGoDown(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest() {
			continue
		}
		from, err := layer(f.dir())
		if err != nil {
			t.Error(err)
			continue
		}
		for _, imported := range f.imports(t) {
			dir, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			to, err := layer(dir)
			if err != nil {
				t.Error(err)
			} else if to >= from && !sameTree(f.dir(), dir) {
				t.Errorf("%s imports %s, which does not stand lower", f.path, dir)
			}
		}
	}
}

// sameTree tells packages of one top-level directory; those of internal have no more to do
// with each other than those that the layers set apart, which a cycle would tell.
func sameTree(a, b string) bool {
	first, _, _ := strings.Cut(a, "/")
	return b == first || strings.HasPrefix(b, first+"/")
}

// Parsing and addressing are pure: deterministic, and tested without root. Files are read
// by package os; nothing else of the system is touched.
func TestPurePackages(t *testing.T) {
	impure := []string{
		"syscall", "os/exec", "os/user", "os/signal", "unsafe", "net/http", "time",
		"golang.org/x/sys", "github.com/vishvananda", "github.com/google/nftables", "github.com/coreos/go-iptables",
		"github.com/opencontainers", "github.com/moby/sys", "math/rand", "math/rand/v2", "crypto/rand",
	}
	for _, f := range goFiles(t) {
		if f.isTest() || f.dir() != "topology" && f.dir() != "ipam" {
			continue
		}
		for _, imported := range f.imports(t) {
			for _, p := range impure {
				if imported == p || strings.Contains(p, ".") && strings.HasPrefix(imported, p+"/") {
					t.Errorf("%s imports %s: this package is pure", f.path, imported)
				}
			}
		}
	}
}

// budget is the modules that nsnet's source imports, each with what it saves. Another one
// needs a reason to be here.
func budget() map[string]string {
	return map[string]string{
		"github.com/containernetworking/cni":     "results as CNI's callers read them",
		"github.com/containernetworking/plugins": "what is a network namespace, by its path",
		"github.com/coreos/go-iptables":          "rules where Docker or iptables hold the chains; it knows the xtables lock and both back ends",
		"github.com/google/nftables":             "rules by netlink, without the nft program",
		"github.com/mdlayher/netlink":            "the error type of google/nftables",
		"github.com/google/renameio/v2":          "files replaced whole, or not at all",
		"github.com/invopop/jsonschema":          "the schema of topology files; at go generate alone",
		"github.com/klauspost/compress":          "layers compressed with zstd; of its packages only that one",
		"github.com/moby/sys/mountinfo":          "mountinfo with its escapes",
		"github.com/opencontainers/cgroups":      "limits on v1, hybrid and v2, as runc and the kubelet set them",
		"github.com/coreos/go-systemd":           "a delegated scope for a lab, where systemd manages control groups; opencontainers/cgroups brings it anyhow",
		"github.com/godbus/dbus":                 "the values of properties that go-systemd takes",
		"github.com/spf13/cobra":                 "commands, help and completion",
		"github.com/spf13/pflag":                 "cobra's flags",
		"github.com/vishvananda/netlink":         "rtnetlink messages and their attributes",
		"github.com/vishvananda/netns":           "sockets in other network namespaces",
		"go.yaml.in/yaml/v4":                     "YAML with positions and all errors at once, and not to be blown up by a small file",
		"golang.org/x/net":                       "the assembler of BPF, for seccomp and its tests",
		"golang.org/x/sys":                       "the kernel",
		"github.com/google/go-cmp":               "tests: readable differences",
		"github.com/google/go-containerregistry": "tests: a registry in the process, and images of somebody else's making",
		"github.com/santhosh-tekuri/jsonschema":  "tests: each example against the schema",
		"pgregory.net/rapid":                     "tests: properties",
	}
}

// Each dependency is somebody else's code that runs as root.
func TestDependencyBudget(t *testing.T) {
	allowed := budget()
	for _, f := range goFiles(t) {
		for _, imported := range f.imports(t) {
			first, _, _ := strings.Cut(imported, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(imported+"/", module) {
				continue // of the standard library, or our own
			}
			if !slices.ContainsFunc(slices.Collect(maps.Keys(allowed)), func(m string) bool {
				return imported == m || strings.HasPrefix(imported, m+"/")
			}) {
				t.Errorf("%s imports %s, which is not in the budget", f.path, imported)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for m, reason := range allowed {
		if reason == "" {
			t.Errorf("%s: no reason", m)
		}
		if !strings.Contains(string(text), "\t"+m) && !strings.Contains(string(text), "require "+m) {
			t.Errorf("%s is in the budget and not in go.mod", m)
		}
	}
}
