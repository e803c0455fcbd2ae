package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// told waits for a change, or for the absence of one.
func told(t *testing.T, c <-chan struct{}, want bool, what string) {
	t.Helper()
	wait := 5 * time.Second
	if !want {
		wait = 4 * Quiet
	}
	select {
	case <-c:
		if !want {
			t.Errorf("%s: was told", what)
		}
	case <-time.After(wait):
		if want {
			t.Fatalf("%s: was not told", what)
		}
	}
}

// Whatever way an editor has of saving, it is one change.
func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "topo.yaml")
	write(t, path, "1")
	ctx, stop := context.WithCancel(context.Background())
	c := Watch(ctx, path)
	told(t, c, true, "the beginning")
	write(t, path, "2")
	told(t, c, true, "written in place")
	told(t, c, false, "nothing")
	write(t, filepath.Join(dir, "4913"), "x")
	told(t, c, false, "another file")
	write(t, filepath.Join(dir, ".topo.yaml.swp"), "3")
	must(t, os.Rename(filepath.Join(dir, ".topo.yaml.swp"), path))
	told(t, c, true, "renamed over")
	must(t, os.Rename(path, path+"~"))
	write(t, path, "4")
	told(t, c, true, "moved aside and written anew")
	must(t, os.Remove(path))
	told(t, c, true, "removed")
	write(t, path, "5")
	told(t, c, true, "there again")
	for range 20 {
		write(t, path, "6")
	}
	told(t, c, true, "a burst")
	told(t, c, false, "the same burst")
	stop()
	for range c {
	}
}

func TestWatchLink(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(other, "real"), "1")
	path := filepath.Join(dir, "topo.yaml")
	must(t, os.Symlink(filepath.Join(other, "real"), path))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := Watch(ctx, path)
	told(t, c, true, "the beginning")
	write(t, filepath.Join(other, "real"), "2")
	told(t, c, true, "written through the link")
}

// Every link on the way to the file is watched, also beside the file itself, and where one leads from now on.
func TestWatchLinks(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	link := func(to, at string) {
		t.Helper()
		must(t, os.Symlink(to, at+".new"))
		must(t, os.Rename(at+".new", at))
	}
	path, middle, far := filepath.Join(dir, "topo.yaml"), filepath.Join(dir, "current"), filepath.Join(other, "v2")
	write(t, filepath.Join(dir, "v1"), "1")
	write(t, far, "2")
	link("v1", middle)
	link("current", path)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := Watch(ctx, path)
	told(t, c, true, "the beginning")
	write(t, filepath.Join(dir, "v1"), "1, again")
	told(t, c, true, "written through the links")
	link(far, middle)
	told(t, c, true, "the link in the middle leads elsewhere")
	write(t, far, "2, again")
	told(t, c, true, "written where it leads now")
	link("v1", path)
	told(t, c, true, "the first link leads elsewhere")
	write(t, filepath.Join(dir, "v1"), "1, at last")
	told(t, c, true, "written where that leads")
	write(t, filepath.Join(dir, "other"), "x")
	told(t, c, false, "another file")
}

// A link in place of a directory is made to lead to another one, as releases are switched, and as Kubernetes does it with what it mounts.
func TestWatchLinkOfDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, v := range []string{"v1", "v2"} {
		must(t, os.MkdirAll(filepath.Join(dir, v, "labs"), 0o700))
		write(t, filepath.Join(dir, v, "labs", "topo.yaml"), v)
	}
	link := func(to string) {
		t.Helper()
		must(t, os.Symlink(to, filepath.Join(dir, "new")))
		must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "current")))
	}
	link("v1")
	must(t, os.Mkdir(filepath.Join(dir, "users"), 0o700))
	must(t, os.Symlink("../current/labs", filepath.Join(dir, "users", "mine")))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := Watch(ctx, filepath.Join(dir, "users", "mine")+"/../labs/topo.yaml")
	told(t, c, true, "the beginning")
	link("v2")
	told(t, c, true, "another directory")
	write(t, filepath.Join(dir, "v2", "labs", "topo.yaml"), "v2, again")
	told(t, c, true, "written there")
	must(t, os.Rename(filepath.Join(dir, "v2", "labs"), filepath.Join(dir, "v2", "old")))
	told(t, c, true, "the directory is renamed")
	must(t, os.Mkdir(filepath.Join(dir, "v2", "labs"), 0o700))
	write(t, filepath.Join(dir, "v2", "labs", "topo.yaml"), "v2, anew")
	told(t, c, true, "the directory is there anew")
}

// Links that lead to each other lead nowhere, until they do.
func TestWatchLoop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "topo.yaml")
	must(t, os.Symlink("other", path))
	must(t, os.Symlink("topo.yaml", filepath.Join(dir, "other")))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := Watch(ctx, path)
	told(t, c, false, "a loop")
	must(t, os.Remove(path))
	write(t, path, "1")
	told(t, c, true, "a file")
}

// Without inotify it takes longer.
func TestPoll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "topo.yaml") // in a directory that does not exist
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := Watch(ctx, path)
	told(t, c, false, "nothing")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	write(t, path, "1")
	told(t, c, true, "it comes to be")
	must(t, os.RemoveAll(filepath.Dir(path)))
	told(t, c, true, "it goes with its directory")
}

// A burst of events is one change, told when it is over.
func TestSettle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events, changes := make(chan struct{}), make(chan struct{}, 1)
		go settle(events, changes)
		for range 10 {
			events <- struct{}{}
			time.Sleep(Quiet * 3 / 4)
			if len(changes) > 0 {
				t.Fatal("a change is told while there are events")
			}
		}
		time.Sleep(Quiet)
		synctest.Wait()
		if len(changes) != 1 {
			t.Error("the change is not told")
		}
		close(events)
	})
}
