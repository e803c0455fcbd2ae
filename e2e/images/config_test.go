package images

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
)

// Volumes and the working directory of an image are there though no layer has them, and what a layer has stays as it is.
func TestDirectoriesOfConfig(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		config := v1.Config{WorkingDir: "/srv/app", Volumes: map[string]struct{}{"/data/new": {}, "/kept": {}, "link/made": {}, "/bound": {}}}
		ref := r.Push(t, "dirs:1", imagetest.Image(t, config, busyboxLayer(t), layer(t,
			file{Name: "kept/", UID: 1000, Mode: 0o700}, file{Name: "kept/f", Content: "x", UID: 1000}, file{Name: "link", Target: "/kept/.."})))
		host := t.TempDir()
		name := up(t, ref, "\nnodes: {n: {image: \"IMAGE\", binds: [\""+host+":/bound\"]}}\n")
		want(t, "the working directory", in(t, name+"/n", "pwd; stat -c %u:%a ."), "/srv/app\n0:755")
		want(t, "volumes", in(t, name+"/n", "stat -c %u:%a /data/new /kept /made; ls /kept; ls /bound"), "0:755\n1000:700\n0:755\nf")
		want(t, "a write", in(t, name+"/n", "echo y > /data/new/f; cat /data/new/f"), "y")
		if entries, err := os.ReadDir(host); err != nil || len(entries) != 0 {
			t.Errorf("made on the host: %v, %v", entries, err)
		}
	})
}

// A bind on a symbolic link to nothing is where that leads in the image, as with Docker, and never outside.
func TestBindOnDanglingLink(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r, outside := newRegistry(t), t.TempDir()
		ref := r.Push(t, "links:1", imagetest.Image(t, v1.Config{}, busyboxLayer(t), layer(t, file{Name: "etc/resolv.conf", Target: "../run/systemd/stub.conf"},
			file{Name: "etc/localtime", Target: "/usr/share/zoneinfo/UTC"}, file{Name: "out", Target: "../../../.." + outside}, file{Name: "loop", Target: "loop"}, file{Name: "cache", Target: "/var/lost"})))
		host := t.TempDir()
		if err := os.WriteFile(host+"/f", []byte("bound"), 0o644); err != nil { //nolint:gosec // the node's root is another
			t.Fatal(err)
		}
		bind := func(targets ...string) string {
			text := "\nnodes: {n: {image: \"IMAGE\", tmpfs: [/cache], binds: ["
			for _, target := range targets {
				text += "\"" + host + "/f:" + target + "\", "
			}
			return text + "]}}\n"
		}
		name := up(t, ref, bind("/etc/resolv.conf", "/etc/localtime", "/out/f"))
		want(t, "the files", in(t, name+"/n", "cat /etc/resolv.conf /run/systemd/stub.conf /etc/localtime /usr/share/zoneinfo/UTC "+outside+"/f"), strings.Repeat("bound", 5))
		want(t, "the links", in(t, name+"/n", "ls -l /etc/resolv.conf /etc/localtime | grep -c -e '->'"), "2")
		want(t, "the tmpfs", in(t, name+"/n", "grep -c ' /var/lost tmpfs' /proc/mounts"), "1")
		if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
			t.Errorf("made outside: %v, %v", entries, err)
		}
		fails(t, 1, []string{"up", topologyFile(t, ref, bind("/loop"))}, "node n", "/loop", "too many levels")
	})
}

// An image's user is looked up in the image's own files, by name or number, and one that is not there starts nothing.
func TestUserOfConfig(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		base := busyboxLayer(t)
		for user, wanted := range map[string]string{"maker": "1000 1000", "1000": "1000 1000", "maker:root": "1000 0", "1234:1000": "1234 1000", "": "0 0"} {
			ref := r.Push(t, "user:1", imagetest.Image(t, v1.Config{User: user}, base))
			testenv.Must(t, "image", "pull", ref)
			name := up(t, ref, "\nnodes: {n: {image: \"IMAGE\"}}\n")
			want(t, "user "+user, in(t, name+"/n", "echo $(id -u) $(id -g)"), wanted)
			testenv.Must(t, "down", name)
		}
		ref := r.Push(t, "nobody:1", imagetest.Image(t, v1.Config{User: "nosuchuser", Cmd: []string{"/bin/sleep", "1000"}}, base))
		fails(t, 126, []string{"up", topologyFile(t, ref, "\nnodes: {n: {image: \"IMAGE\"}}\n")}, "node n", "nosuchuser", "; name a user and a group")
		ref = r.Push(t, "nowhere:1", imagetest.Image(t, v1.Config{WorkingDir: "/etc/passwd", Cmd: []string{"/bin/sleep", "1000"}}, base))
		fails(t, 126, []string{"up", topologyFile(t, ref, "\nnodes: {n: {image: \"IMAGE\"}}\n")}, "node n", "/etc/passwd: it cannot be executed: not a directory; name a working directory")
	})
}

// Whoever is first: either the lab runs and the image is in use, or the image goes and is fetched again.
func TestRemoveDuringUp(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		ref := r.Push(t, "app:1", imagetest.Image(t, v1.Config{}, busyboxLayer(t), layer(t, file{Name: "f", Content: "whole"})))
		testenv.Must(t, "image", "pull", ref)
		inUse, gone := 0, 0
		for range 12 {
			name, path := testenv.LabName(t), topologyFile(t, ref, "\nnodes: {n: {image: \"IMAGE\"}}\n")
			starting := exec.Command(testenv.Binary(t), "up", "--trust", path, "--name", name)
			var said strings.Builder
			starting.Stderr = &said
			if err := starting.Start(); err != nil {
				t.Fatal(err)
			}
			res := testenv.Run(t, "image", "rm", ref)
			switch {
			case res.Code == 0, res.Code == 4: // 4: the one before has removed it, and up has not pulled it yet
				gone++
			case res.Code == 5 && strings.Contains(res.Stderr, "in use"):
				inUse++
			default:
				t.Errorf("image rm: %+v", res)
			}
			if err := starting.Wait(); err != nil {
				t.Fatalf("up: %v\n%s", err, said.String())
			}
			want(t, "a file of the image", in(t, name+"/n", "cat /f"), "whole")
			testenv.Must(t, "down", name)
		}
		t.Logf("%d times in use, %d times gone", inUse, gone)
	})
}
