package images

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
)

// version is an image that says which it is, in a file and in the environment.
func version(t *testing.T, base v1.Layer, v string) v1.Image {
	t.Helper()
	return imagetest.Image(t, v1.Config{Env: []string{"PATH=/bin", "V=" + v}, Cmd: []string{"sleep", "1000"}}, base, layer(t, file{Name: "version", Content: v}))
}

// pids are those of the nodes' inits, by their names.
func pids(t *testing.T, lab string, nodes ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, n := range nodes {
		all[n] = strings.Join(regexp.MustCompile(`init pid +(\d+)`).FindStringSubmatch(testenv.Must(t, "inspect", lab+"/"+n)), "")
		if all[n] == "" {
			t.Fatalf("node %s has no pid", n)
		}
	}
	return all
}

// restarted tells which nodes have other processes than before.
func restarted(before, after map[string]string) string {
	var names []string
	for _, n := range []string{"a", "b", "c"} {
		if before[n] != after[n] {
			names = append(names, n)
		}
	}
	return strings.Join(names, " ")
}

// says has a command print what matches.
func says(t *testing.T, out string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(out) {
			t.Errorf("nothing matches %s in\n%s", p, out)
		}
	}
}

// A tag that means something else since it was pulled anew restarts the nodes that run from it, at the next up, and no others.
func TestImagePulledAnew(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		base := busyboxLayer(t)
		ref := r.Push(t, "app:1", version(t, base, "one"))
		other := r.Push(t, "other:1", version(t, base, "other"))
		name, path := testenv.LabName(t), topologyFile(t, ref, `
defaults: {image: "IMAGE"}
nodes:
  a: {}
  b: {image: "`+other+`", layers: [{image: "IMAGE"}]}
  c: {image: "`+other+`"}
`)
		up := func() string { t.Helper(); return testenv.Must(t, "up", path, "--name", name) }
		plan := func(code int) string {
			t.Helper()
			res := testenv.Run(t, "plan", path, "--name", name)
			if res.Code != code {
				t.Errorf("plan: exit code %d, and not %d\n%s%s", res.Code, code, res.Stdout, res.Stderr)
			}
			return res.Stdout
		}
		up()
		t.Cleanup(func() { testenv.Must(t, "down", name) })
		before := pids(t, name, "a", "b", "c")

		// What the registry says by now is no matter of up's.
		r.Push(t, "app:1", version(t, base, "two"))
		plan(0)
		testenv.Must(t, "image", "pull", ref)
		asked := r.Asked("")
		const another = `its image \S+/app:1 is another one now: [0-9a-f]{12} -> [0-9a-f]{12}; node restarted`
		out := plan(10)
		says(t, out, `~ node +a .*\(`+another, `~ node +b .*\(`+another)
		if strings.Contains(out, "node  c") || strings.Count(out, "\n") != 2 {
			t.Errorf("the plan has more than a and b:\n%s", out)
		}
		says(t, testenv.Must(t, "ps", name), `differs from its file: 2 changes`)
		// What runs is compared with what it runs from.
		testenv.Must(t, "exec", name+"/a", "--", "touch", "/tmp/new")
		want(t, "diff", testenv.Must(t, "diff", name+"/a"), "C /tmp\nA /tmp/new\n")
		says(t, up(), `~ node +a .*`+another, `2 changes`)
		if n := r.Asked("") - asked; n != 0 {
			t.Errorf("plan, ps, diff and up have made %d requests", n)
		}
		want(t, "restarted", restarted(before, pids(t, name, "a", "b", "c")), "a b")
		want(t, "a runs", in(t, name+"/a", "cat /version; echo $V"), "twotwo")
		want(t, "b runs", in(t, name+"/b", "cat /version; echo $V"), "twoother")
		plan(0)
		says(t, up(), "nothing to do")
		if out := testenv.Must(t, "ps", name); strings.Contains(out, "differs") {
			t.Error(out)
		}
		// What nobody runs from any more goes with the next command that sweeps.
		testenv.Must(t, "image", "pull", ref)
		if entries, err := os.ReadDir(filepath.Join(image.Dir, "layers")); err != nil || len(layersOf(entries)) != 3 {
			t.Errorf("layers in the store: %v %v", layersOf(entries), err)
		}
		// What a plan says of another change has nothing of the image in it.
		edit := func(from, to string) {
			t.Helper()
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		edit("a: {}", "a: {caps: [SYS_TIME]}")
		says(t, plan(10), `~ node +a .*\(caps changed; node restarted\)`)
		edit("a: {caps: [SYS_TIME]}", "a: {hosts: [\"192.0.2.1 x\"]}")
		// A change in place needs no more of an image than the lab has, whatever has become of the store.
		if err := os.RemoveAll(filepath.Join(image.Dir, "names")); err != nil {
			t.Fatal(err)
		}
		asked, before = r.Asked(""), pids(t, name, "a", "b", "c")
		says(t, up(), `~ hosts +a .*\(in place\)`)
		want(t, "restarted", restarted(before, pids(t, name, "a", "b", "c")), "")
		if n := r.Asked("") - asked; n != 0 {
			t.Errorf("a change in place has made %d requests", n)
		}
	})
}

func layersOf(entries []os.DirEntry) (names []string) {
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// An archive that was written anew is read anew, one that was only touched is not another image.
func TestArchiveWrittenAnew(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		emptyStore(t)
		base := busyboxLayer(t)
		archive := save(t, version(t, base, "one"))
		ref := "docker-archive:" + archive
		name, path := testenv.LabName(t), topologyFile(t, ref, "\nnodes: {a: {image: \"IMAGE\"}, b: {image: \"IMAGE\", command: [sleep, \"1001\"]}, c: {}}\n")
		testenv.Must(t, "up", path, "--name", name)
		t.Cleanup(func() { testenv.Must(t, "down", name) })
		before := pids(t, name, "a", "b", "c")

		testenv.MustCommand(t, "cp", archive, archive+".new")
		testenv.MustCommand(t, "mv", archive+".new", archive)
		says(t, testenv.Must(t, "plan", path, "--name", name), "nothing to do")
		says(t, testenv.Must(t, "up", path, "--name", name), "nothing to do")

		testenv.MustCommand(t, "mv", save(t, version(t, base, "two")), archive)
		fails(t, 10, []string{"plan", path, "--name", name})
		says(t, testenv.Run(t, "plan", path, "--name", name).Stdout, `~ node +a .*its image docker-archive:\S+ is another one now: [0-9a-f]{12} -> [0-9a-f]{12}`)
		testenv.Must(t, "up", path, "--name", name)
		want(t, "restarted", restarted(before, pids(t, name, "a", "b", "c")), "a b")
		want(t, "a runs", in(t, name+"/a", "cat /version; echo $V"), "twotwo")
		says(t, testenv.Must(t, "plan", path, "--name", name), "nothing to do")

		// One whose command is not there ends no node of the one before.
		before = pids(t, name, "a", "b", "c")
		testenv.MustCommand(t, "cp", archive, archive+".good")
		bad := imagetest.Image(t, v1.Config{Env: []string{"PATH=/bin"}, Cmd: []string{"/bin/none"}}, base)
		testenv.MustCommand(t, "mv", save(t, bad), archive)
		fails(t, 127, []string{"up", path, "--name", name}, "node a", "/bin/none")
		fails(t, 127, []string{"plan", path, "--name", name}, "node a", "/bin/none") // the store has it by now
		want(t, "restarted", restarted(before, pids(t, name, "a", "b", "c")), "")
		want(t, "a runs", in(t, name+"/a", "cat /version; echo $V"), "twotwo")
		testenv.MustCommand(t, "mv", archive+".good", archive)
		says(t, testenv.Must(t, "up", path, "--name", name), "nothing to do")

		// No image any more: said, and nothing is changed.
		if err := os.WriteFile(archive, []byte("no archive"), 0o600); err != nil {
			t.Fatal(err)
		}
		says(t, testenv.Run(t, "plan", path, "--name", name).Stdout, `~ node +a .*is another one now: .*not an image`)
		fails(t, 1, []string{"up", path, "--name", name}, "node a", "not an image")
		want(t, "restarted", restarted(before, pids(t, name, "a", "b", "c")), "")
		// Without the archive the lab is what it was.
		if err := os.Remove(archive); err != nil {
			t.Fatal(err)
		}
		if out := testenv.Must(t, "ps", name); strings.Contains(out, "differs") {
			t.Error(out)
		}
		testenv.Must(t, "exec", name+"/a", "--", "touch", "/tmp/new")
		want(t, "diff", testenv.Must(t, "diff", name+"/a"), "C /tmp\nA /tmp/new\n")
	})
}
