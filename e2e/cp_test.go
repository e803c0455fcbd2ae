package e2e

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/internal/testenv"
)

// TestCp copies both ways, in nodes of users and of programs of all kinds: with a command, idle, as
// somebody else, and without any program at all.
func TestCp(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "bound", "of the host")
		r := start(t, writeFile(t, dir, "lab.yaml", `
nodes:
  idle: {}
  bound: {binds: ["./bound:/bound:rw"]}
  user: {command: sleep infinity, user: nobody, workdir: /tmp}
  bare: {image: "dir:empty"}
`))
		must := func(args ...string) {
			t.Helper()
			if got := testenv.Run(t, append([]string{"cp"}, args...)...); got.Code != 0 || got.Stdout != "" {
				t.Errorf("cp %q: %+v", args, got)
			}
		}
		refused := func(code int, text string, args ...string) {
			t.Helper()
			if got := testenv.Run(t, append([]string{"cp"}, args...)...); got.Code != code || !strings.Contains(got.Stderr, text) {
				t.Errorf("cp %q: exit code %d, not %d; %s", args, got.Code, code, got.Stderr)
			}
		}
		src := filepath.Join(dir, "src")
		if err := os.MkdirAll(filepath.Join(src, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		big := make([]byte, 5<<20)
		_, _ = rand.Read(big)
		for name, b := range map[string][]byte{"sub/big": big, "small": []byte("text"), "run:it": []byte("#!/bin/sh\necho ran\n")} {
			if err := os.WriteFile(filepath.Join(src, name), b, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("small", filepath.Join(src, "link")); err != nil {
			t.Fatal(err)
		}
		for _, node := range []string{"idle", "user", "bare"} {
			at := r.name + "/" + node + ":"
			must(src, at+"/put")
			must(src+"/.", at+"/put/sub")
			must(src+"/run:it", at+"put/")
			back := filepath.Join(dir, node)
			must(at+"/put", back)
			for _, name := range []string{"sub/big", "sub/sub/big", "sub/small", "link", "run:it"} {
				got, err := os.ReadFile(filepath.Join(back, name))
				want := big
				if !strings.HasSuffix(name, "big") {
					want, _ = os.ReadFile(filepath.Join(src, filepath.Base(name)))
				}
				if err != nil || string(got) != string(want) {
					t.Errorf("%s of %s: %d bytes, not %d; %v", name, node, len(got), len(want), err)
				}
			}
			if to, err := os.Readlink(filepath.Join(back, "link")); err != nil || to != "small" {
				t.Errorf("link of %s: %q, %v", node, to, err)
			}
			must(at+"put/small", dir)
			refused(1, "no such file or directory", at+"/none", dir)
			refused(1, "no such file or directory", src+"/none", at+"/x")
			refused(1, "there is no such directory", src+"/small", at+"/none/")
			refused(1, "is a file", src, at+"/put/small")
			refused(1, "no such file or directory", at+"/put/small", dir+"/none/x")
		}
		if got := r.sh("idle", "/put/run:it; stat -c %u:%a /put/small"); got != "ran\n0:755" {
			t.Errorf("in the node: %q", got)
		}
		r.sh("idle", "mkdir /odd; mkfifo /odd/pipe; echo x >/odd/file; ln -s /etc/shadow /odd/abroad")
		got := testenv.Run(t, "cp", r.name+"/idle:/odd", dir)
		if got.Code != 0 || !strings.Contains(got.Stderr, "nsnet: note: /odd/pipe is neither") {
			t.Errorf("%+v", got)
		}
		r.sh("idle", `mkdir /forged; mkfifo "$(printf '/forged/a\nnsnet: b')"`)
		if got := testenv.Run(t, "cp", r.name+"/idle:/forged", dir); got.Code != 0 || got.Stderr != `nsnet: note: /forged/a\nnsnet: b is neither a file, a directory nor a link, and is left out`+"\n" {
			t.Errorf("a name with a line feed: %+v", got)
		}
		refused(1, `/a\nnsnet: b: no such file`, r.name+"/idle:/a\nnsnet: b", dir)
		if to, err := os.Readlink(filepath.Join(dir, "odd/abroad")); err != nil || to != "/etc/shadow" {
			t.Errorf("a link out of the node: %q, %v", to, err)
		}
		// Each name of a file is a file of its own, and a path of a node counts from its root.
		if err := os.Link(filepath.Join(src, "small"), filepath.Join(src, "same")); err != nil {
			t.Fatal(err)
		}
		must(src, r.name+"/user:linked")
		if got := r.sh("user", "cat /linked/same; stat -c %h /linked/small /linked/same"); got != "text1\n1" {
			t.Errorf("hard links, copied into a node's root: %q", got)
		}
		must(r.name+"/user:linked", filepath.Join(dir, "linked"))
		if b, err := os.ReadFile(filepath.Join(dir, "linked/same")); err != nil || string(b) != "text" {
			t.Errorf("a relative path of a node: %q, %v", b, err)
		}
		refused(1, "/bound is a mount point and is not replaced", src+"/small", r.name+"/bound:/bound")
		refused(1, "/bound is a mount point and is not replaced", src+"/link", r.name+"/bound:/bound")
		if got := r.sh("bound", "cat /bound; ls -a / | grep -c nsnet-cp || true"); got != "of the host0\n" && got != "of the host0" {
			t.Errorf("what was bound is %q", got)
		}
		refused(2, "prints a file of a node", r.name+"/idle:/put/small", "-")
		refused(2, "writes one", "-", r.name+"/idle:/put/x")
		refused(2, "is NODE:PATH", src, dir)
		refused(2, "is of this host", r.name+"/idle:/x", r.name+"/bare:/x")
		refused(4, "", r.name+"/nobody:/x", dir)
	})
}

// TestCpOfAHostileNode holds that a node's end that is not what it seems writes nothing but what was
// asked for. The node cannot replace the program itself: what it may do is to change files meanwhile.
func TestCpOfAHostileNode(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		dir := t.TempDir()
		victim := writeFile(t, dir, "victim", "safe")
		r.sh("n", "mkdir -p /d/sub; echo evil >/d/sub/victim; ln -s "+dir+" /d/link; (while :; do mv /d/sub /d/real && ln -s "+dir+" /d/sub; rm -f /d/sub; mv /d/real /d/sub; done) >/dev/null 2>&1 &")
		for i := range 20 {
			testenv.Run(t, "cp", r.name+"/n:/d", filepath.Join(dir, "out", string(rune('a'+i))))
			testenv.Run(t, "cp", r.name+"/n:/d/.", filepath.Join(dir, "same"))
		}
		if b, err := os.ReadFile(victim); err != nil || string(b) != "safe" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// TestCpThroughDirectoriesOfOthers holds that another user of the host leads root nowhere by links, neither by one that stays nor by
// one that is exchanged for a directory while root copies.
func TestCpThroughDirectoriesOfOthers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		r.sh("n", "mkdir -p /d/sub; echo evil >/d/sub/evil")
		dir := t.TempDir()
		victim, site, link := filepath.Join(dir, "victim"), filepath.Join(dir, "y/site"), filepath.Join(dir, "y/link")
		if err := errors.Join(os.MkdirAll(filepath.Join(site, "sub"), 0o755), os.Mkdir(victim, 0o700), os.Symlink(victim, link), os.Lchown(link, 1000, 1000)); err != nil {
			t.Fatal(err)
		}
		writeFile(t, victim, "secret", "SECRET")
		writeFile(t, filepath.Join(site, "sub"), "secret", "harmless")
		for _, args := range [][]string{{link, r.name + "/n:/x"}, {link + "/secret", r.name + "/n:/x"}, {r.name + "/n:/d/.", link}, {r.name + "/n:/d", link + "/new"}} {
			if got := testenv.Run(t, append([]string{"cp"}, args...)...); got.Code != 1 || !strings.Contains(got.Stderr, "it leads through a link of user 1000") {
				t.Errorf("cp %q: %+v", args, got)
			}
		}
		stop := exchanging(t, filepath.Join(site, "sub"), link)
		for range 10 {
			testenv.Run(t, "cp", site, r.name+"/n:/www")
			testenv.Run(t, "cp", r.name+"/n:/d/.", site)
		}
		stop()
		if got := r.sh("n", "mkdir -p /www; grep -r SECRET /www || true"); got != "" {
			t.Errorf("in the node there is %s", got)
		}
		if got, err := os.ReadDir(victim); err != nil || len(got) != 1 {
			t.Errorf("there is %v, %v", got, err)
		}
	})
}

// TestCpOfHoles holds that a file of mostly nothing takes no more room where it is copied to.
func TestCpOfHoles(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := startText(t, "nodes: {n: {}}")
		dir := t.TempDir()
		out, back := filepath.Join(dir, "out"), r.name+"/n:/back"
		r.sh("n", "truncate -s 512G /f; printf end | dd of=/f bs=1M seek=1024 conv=notrunc 2>/dev/null")
		for _, args := range [][]string{{r.name + "/n:/f", out}, {out, back}} {
			if got := testenv.Run(t, append([]string{"cp"}, args...)...); got.Code != 0 {
				t.Errorf("cp %q: %+v", args, got)
			}
		}
		var st unix.Stat_t
		if err := unix.Stat(out, &st); err != nil || st.Size != 512<<30 || st.Blocks*512 > 1<<20 {
			t.Errorf("here are %d bytes in %d blocks: %v", st.Size, st.Blocks, err)
		}
		if got := r.sh("n", "stat -c %s /back; [ $(stat -c %b /back) -lt 2048 ] && dd if=/back bs=1M skip=1024 count=1 2>/dev/null | head -c 3"); got != "549755813888\nend" {
			t.Errorf("in the node there is %q", got)
		}
	})
}
