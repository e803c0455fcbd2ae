package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image"
)

func TestRemedy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		op   string
		err  error
		want string
	}{
		{"create link", unix.EMFILE, "ulimit -n"},
		{"create link", unix.ENFILE, "fs.file-max"},
		{"create link", unix.ENOBUFS, "no memory"},
		{"create link", unix.EPERM, "nsnet doctor"},
		{"create link", unix.EEXIST, "again"},
		{"create link", unix.EINVAL, "nsnet doctor"},
		{"write the record", unix.ENOSPC, "make room"},
		{"start", unix.ENOSPC, "limit of namespaces"},
		{"start the lab: create its namespaces", unix.EAGAIN, "kernel.pid_max"},
		{"write", unix.EROFS, "read-write"},
		{"prepare its mounts", fmt.Errorf("%w: give it more with writable_size", unix.ENOSPC), ""},
		{"parse", errors.New("odd"), ""},
	} {
		e := &Error{Op: tt.op, Err: fmt.Errorf("wrapped: %w", tt.err)}
		advise(fmt.Errorf("again: %w", e))
		if !strings.Contains(e.Remedy, tt.want) || tt.want == "" && e.Remedy != "" {
			t.Errorf("%s: %v: %q does not say %q", tt.op, tt.err, e.Remedy, tt.want)
		}
	}
	e := &Error{Err: unix.EPERM, Remedy: "known"}
	if advise(e); e.Remedy != "known" {
		t.Errorf("a remedy was replaced by %q", e.Remedy)
	}
	e = &Error{Err: &image.Error{Op: "unpack", Err: unix.ENOSPC, Remedy: "known"}}
	if advise(e); e.Remedy != "" {
		t.Errorf("to an image's remedy comes %q", e.Remedy)
	}
	advise(nil)
}

func TestNamespaceLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, value := range map[string]string{"max_net_namespaces": "3\n", "max_mnt_namespaces": "95713\n", "max_inotify_instances": "1\n", "max_uts_namespaces": "3\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := namespaceLimits(dir), "raise the sysctl user.max_net_namespaces or user.max_uts_namespaces, which is 3"; !strings.Contains(got, want) {
		t.Errorf("%q does not say %q", got, want)
	}
	for _, none := range []string{t.TempDir(), "/no/such/dir"} {
		if got := namespaceLimits(none); !strings.Contains(got, "/proc/sys/user") {
			t.Errorf("%s: %q", none, got)
		}
	}
}

// A limit of memory that does not fit what is left has a remedy of its own, with both versions of control groups.
func TestUpdateRemedy(t *testing.T) {
	t.Parallel()
	for want, errs := range map[string][]error{
		"give it more memory":   {fmt.Errorf("the node's init alone: %w", unix.EBUSY), errors.New("unable to set memory limit to 8388608 (current usage: 20000000)")},
		"run the command again": {errors.New("write cpu.max: broken"), unix.EINVAL},
	} {
		for _, err := range errs {
			if got := updateRemedy(8<<20, err); !strings.Contains(got, want) {
				t.Errorf("%v: %q", err, got)
			}
		}
	}
	if got := updateRemedy(0, unix.EBUSY); !strings.Contains(got, "run the command again") {
		t.Errorf("without memory: %q", got)
	}
}
