package images

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/image"
	"github.com/nsnet/nsnet/internal/imagetest"
	"github.com/nsnet/nsnet/internal/testenv"
)

// busyboxLayer is a root filesystem of the machine's busybox, which must be static.
func busyboxLayer(t *testing.T) v1.Layer {
	t.Helper()
	files := append(imagetest.Busybox(t, "sh", "sleep", "ping", "cat", "ls", "id", "env", "pwd", "stat", "true", "touch", "chown", "rm", "grep"),
		file{Name: "etc/"}, file{Name: "home/"}, file{Name: "tmp/", Mode: 0o1777},
		file{Name: "etc/passwd", Content: "root:x:0:0::/root:/bin/sh\nmaker:x:1000:1000::/home:/bin/sh\n", Mode: 0o644},
		file{Name: "etc/group", Content: "root:x:0:\nmaker:x:1000:\n", Mode: 0o644})
	return layer(t, files...)
}

// up brings a topology up under a name of its own until the test ends; its text says IMAGE for the image.
func up(t *testing.T, ref, text string) (name string) {
	t.Helper()
	name, path := testenv.LabName(t), topologyFile(t, ref, text)
	testenv.Must(t, "up", path, "--name", name)
	t.Cleanup(func() {
		if out, err := exec.Command(testenv.Binary(t), "down", name).CombinedOutput(); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
	})
	return name
}

func topologyFile(t *testing.T, ref, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lab.yaml")
	if err := os.WriteFile(path, []byte("name: lab\n"+strings.ReplaceAll(text, "IMAGE", ref)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// in runs a shell command in a node and returns what it printed.
func in(t *testing.T, node, script string) string {
	t.Helper()
	return strings.TrimSpace(testenv.Must(t, "exec", node, "--", "/bin/sh", "-c", script))
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, and not %q", what, got, want)
	}
}

const pair = `
defaults: {image: "IMAGE"}
nodes:
  a: {command: [sleep, "1000"]}
  b: {env: {B: own}, user: root, workdir: /tmp}
  idle: {entrypoint: []}
  shell: {entrypoint: [/bin/sh, -c], command: ["echo $A > /tmp/f; exec sleep 1001"]}
links:
  - {endpoints: ["a:eth0", "b:eth0"], addresses: [10.0.0.1/24, 10.0.0.2/24]}
`

// Nodes run what the image says, or what the file says instead, from layers that are there once.
func TestLab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		config := v1.Config{Entrypoint: []string{"/entry"}, Cmd: []string{"of", "the image"}, Env: []string{"A=image", "B=image", "PATH=/bin"}, User: "maker", WorkingDir: "/srv"}
		entry := file{Name: "entry", Content: "#!/bin/sh\necho \"$(id -un) $(pwd) $A $B $@\" > /tmp/started\nexec sleep 1002\n"}
		ref := r.Push(t, "app:1", imagetest.Image(t, config, busyboxLayer(t),
			layer(t, file{Name: "srv/"}, file{Name: "srv/low", Content: "low"}, file{Name: "srv/over", Content: "low"}, file{Name: "srv/gone", Content: "x"},
				file{Name: "old/"}, file{Name: "old/file", Content: "x"}, entry),
			layer(t, file{Name: "srv/over", Content: "top"}, file{Name: "srv/.wh.gone"}, file{Name: "old/"}, file{Name: "old/.wh..wh..opq"}, file{Name: "old/new", Content: "x"})))
		name := up(t, ref, pair)
		testenv.Must(t, "exec", "--user", "root", name+"/a", "--", "ping", "-c", "1", "-W", "2", "10.0.0.2")
		const started = "while ! grep -q . /tmp/started 2>/dev/null; do sleep 0.01; done; cat /tmp/started"
		want(t, "a started", in(t, name+"/a", started), "maker /srv image image sleep 1000")
		want(t, "b started", in(t, name+"/b", started), "root /tmp image own of the image")
		want(t, "shell's file", in(t, name+"/shell", "while ! grep -q . /tmp/f 2>/dev/null; do sleep 0.01; done; cat /tmp/f"), "image")
		want(t, "who exec is", in(t, name+"/a", "id -un; pwd; echo $A"), "maker\n/srv\nimage")
		want(t, "the union", in(t, name+"/a", "cat low over; ls; ls /old"), "lowtoplow\nover\nnew")
		// Each node writes for itself, and the store stays as it is.
		want(t, "a write", in(t, name+"/b", "echo changed > /srv/low; rm /srv/over; chown 1000 /old/new; cat /srv/low"), "changed")
		want(t, "another node", in(t, name+"/a", "cat low over"), "lowtop")
		want(t, "owners", in(t, name+"/a", "stat -c %u /bin/busybox /proc/1"), "0\n0")
		var lab struct {
			Nodes []struct{ Name, State, Image string }
		}
		if err := json.Unmarshal([]byte(testenv.Must(t, "inspect", "--json", name)), &lab); err != nil {
			t.Fatal(err)
		}
		states := ""
		for _, n := range lab.Nodes {
			states += n.Name + " " + n.State + ","
			want(t, "the image of "+n.Name, n.Image, ref)
		}
		want(t, "states", states, "a running,b running,idle idle,shell running,")
		fails(t, 5, []string{"image", "rm", ref}, "in use", name)

		// It is in the store: neither up nor validate asks anybody.
		before := r.Asked("")
		other := up(t, ref, strings.ReplaceAll(pair, "10.0.0", "10.0.1"))
		testenv.Must(t, "validate", topologyFile(t, ref, pair))
		if n := r.Asked("") - before; n != 0 {
			t.Errorf("%d requests for an image that is there", n)
		}
		entries, err := os.ReadDir(filepath.Join(image.Dir, "layers"))
		if err != nil || len(entries) != 3 {
			t.Errorf("two labs have %d layers in the store: %v", len(entries), err)
		}
		// One file on disk is what all nodes see.
		inode := in(t, name+"/a", "stat -c %i /bin/busybox")
		want(t, "the inode in another lab", in(t, other+"/b", "stat -c %i /bin/busybox"), inode)
		testenv.Must(t, "down", name)
		fails(t, 5, []string{"image", "rm", ref}, "in use", other)
		testenv.Must(t, "down", other)
		testenv.Must(t, "image", "rm", ref)
	})
}

// Setuid bits and file capabilities are the node's: they work in it, and are nobody's outside.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		busybox, err := exec.LookPath("busybox")
		if err != nil {
			t.Fatal(err)
		}
		program, err := os.ReadFile(busybox)
		if err != nil {
			t.Fatal(err)
		}
		netRaw := make([]byte, 20) // cap_net_raw+ep
		binary.LittleEndian.PutUint32(netRaw, 0x02000001)
		binary.LittleEndian.PutUint32(netRaw[4:], 1<<unix.CAP_NET_RAW)
		ref := r.Push(t, "priv:1", imagetest.Image(t, v1.Config{}, busyboxLayer(t), layer(t,
			file{Name: "su/"}, file{Name: "su/ping", Content: string(program), Mode: 0o4755},
			file{Name: "cap/"}, file{Name: "cap/grep", Content: string(program), Capability: string(netRaw)},
			file{Name: "home/mine", Content: "x", UID: 1000, Mode: 0o600})))
		name := up(t, ref, `
nodes:
  n: {image: "IMAGE", nnp: false}
`)
		as := func(argv ...string) string {
			return strings.TrimSpace(testenv.Must(t, append([]string{"exec", "--user", "maker", name + "/n", "--"}, argv...)...))
		}
		want(t, "a file of one's own", as("cat", "/home/mine"), "x")
		// busybox keeps root's rights for few of its commands: ping, which needs a raw socket, is one.
		as("/su/ping", "-c", "1", "127.0.0.1")
		if res := testenv.Run(t, "exec", "--user", "maker", name+"/n", "--", "/bin/ping", "-c", "1", "127.0.0.1"); res.Code == 0 {
			t.Error("without the bit it works as well")
		}
		want(t, "a capability", as("/cap/grep", "CapEff", "/proc/self/status"), fmt.Sprintf("CapEff:\t%016x", 1<<unix.CAP_NET_RAW))
	})
}

// What cannot be had is found before anything is changed.
func TestMissingImage(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		path := topologyFile(t, r.Host+"/none:1", pair)
		testenv.Must(t, "validate", path)
		fails(t, 4, []string{"up", path}, "lab lab", "node a", "none:1", "no such image")
		// What is no file, and what a registry such as Docker's says of images that it has not.
		r.Front(func(w http.ResponseWriter, req *http.Request) bool {
			denied := strings.Contains(req.URL.Path, "/denied/")
			if denied {
				w.WriteHeader(http.StatusUnauthorized)
			}
			return denied
		})
		for _, missing := range []string{"oci:/none", "oci-archive:/none.tar", "docker-archive:/none.tar", r.Host + "/none:1", r.Host + "/denied:1"} {
			fails(t, 4, []string{"image", "pull", missing}, "no such image")
			fails(t, 4, []string{"image", "import", missing, "x:1"}, "no such image")
		}
		bridge := topologyFile(t, "host", "nodes: {a: {}}\nbridges: {nobr: {external: true}}\nlinks: [{endpoints: [\"a:eth0\", nobr]}]\n")
		fails(t, 4, []string{"up", bridge}, "lab lab", "nobr", "this host has no bridge of that name", "create it")
		if entries, _ := os.ReadDir("/run/nsnet/lab"); len(entries) != 0 {
			t.Errorf("a record of a lab that never was: %v", entries)
		}
		for wrong, part := range map[string]string{"NoSuch": "lower-case", "hots": "did you mean", "oci:": "no path", "docker-archive:/none": "does not exist"} {
			fails(t, 3, []string{"validate", topologyFile(t, wrong, pair)}, part)
		}
	})
}

// As many layers as may be are more than the directories' full paths would leave room for in a page of options.
func TestManyLayers(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		r := newRegistry(t)
		layers := []v1.Layer{busyboxLayer(t)}
		for i := range 126 {
			layers = append(layers, layer(t, file{Name: fmt.Sprintf("f%d", i), Content: "x"}, file{Name: "last", Content: fmt.Sprint(i)}))
		}
		name := up(t, r.Push(t, "many:1", imagetest.Image(t, v1.Config{}, layers...)), "\nnodes: {n: {image: \"IMAGE\"}}\n")
		want(t, "files of all layers", in(t, name+"/n", "ls -d /f* | grep -c . ; cat /last"), "126\n125")
		made := filepath.Join(t.TempDir(), "made")
		fails(t, 1, []string{"commit", name + "/n", "oci:" + made}, "node n", "128 layers, more than 127", "layers: [DIR]")
		if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an image that nobody can use: %v", err)
		}
		testenv.Must(t, "commit", name+"/n", made)
	})
}

// A lab of a real Docker's image.
func TestDockerLab(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Docker(t)
		emptyStore(t)
		name := up(t, "docker-daemon:localhost/busybox", `
defaults: {image: "IMAGE"}
nodes: {a: {}, b: {}}
links:
  - {endpoints: ["a:eth0", "b:eth0"], addresses: [10.0.0.1/24, 10.0.0.2/24]}
`)
		in(t, name+"/a", "ping -c 1 -W 2 10.0.0.2")
	})
}
