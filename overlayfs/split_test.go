package overlayfs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	entries := []Entry{
		{Path: ".", Kind: Dir, Mode: 0o755},
		{Path: "etc", Kind: Dir, Mode: 0o755, UID: 1},
		{Path: "etc/gone", Kind: Whiteout},
		{Path: "etc/ssl", Kind: Dir, Mode: 0o755},
		{Path: "etc/ssl/private", Kind: Opaque, Mode: 0o710, UID: 33, GID: 117},
		{Path: "etc/ssl/secret", Kind: Opaque, Mode: 0o700},
		{Path: "run", Kind: Opaque, Mode: 0o755},
		{Path: "run-in", Kind: Opaque, Mode: 0o700}, // between a directory and what it holds
		{Path: "run/app", Kind: Dir, Mode: 0o755},
		{Path: "run/app/closed", Kind: Opaque, Mode: 0o700}, // nothing is below it to be hidden
	}
	before := append([]Entry(nil), entries...)
	upper, lower := Split(entries)
	if diff := cmp.Diff(before, entries); diff != "" {
		t.Errorf("Split changed its argument:\n%s", diff)
	}
	want := append([]Entry(nil), entries...)
	for i := range want {
		if want[i].Kind == Opaque {
			want[i].Kind = Dir
		}
	}
	if diff := cmp.Diff(want, upper); diff != "" {
		t.Errorf("upper (-want +got):\n%s", diff)
	}
	want = []Entry{
		{Path: "etc", Kind: Dir, Mode: 0o755},
		{Path: "etc/ssl", Kind: Dir, Mode: 0o755},
		{Path: "etc/ssl/private", Kind: Whiteout},
		{Path: "etc/ssl/secret", Kind: Whiteout},
		{Path: "run", Kind: Whiteout},
		{Path: "run-in", Kind: Whiteout},
	}
	if diff := cmp.Diff(want, lower); diff != "" {
		t.Errorf("lower (-want +got):\n%s", diff)
	}
}

func TestShift(t *testing.T) {
	got := Shift([]Entry{{Path: "a", Kind: Dir, UID: 1, GID: 2}, {Path: "b", Kind: Whiteout}}, 1000)
	want := []Entry{{Path: "a", Kind: Dir, UID: 1001, GID: 1002}, {Path: "b", Kind: Whiteout}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
