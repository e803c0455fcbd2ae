package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Layers that are part of what they lie on: every directory is part of the host's root.
func TestLayersInsideTheImage(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "busybox")
		dir := garden(t)
		testenv.MustCommand(t, "sh", "-euc", `cd "$1"
mkdir -p fruits/usr/bin root/bin root/etc root/opt
printf '#!/bin/sh\necho routed\n' >fruits/usr/bin/router.sh
chmod 755 fruits/usr/bin/router.sh
cp "$(command -v busybox)" root/bin/busybox
for a in sh cat ls rm mkdir; do ln -s busybox root/bin/$a; done
echo inside >root/opt/inside
echo below >root/below`, "sh", dir)
		r := start(t, writeFile(t, dir, "lab.yaml", `
nodes:
  host: {layers: [./fruits, ./vegetables]}
  priv: {privileged: true, layers: [./fruits, ./vegetables]}
  dir: {image: "dir:./root", layers: [./root/opt, ./fruits]}
  dirpriv: {image: "dir:./root", layers: [./root/opt], privileged: true}
`))
		for _, n := range []string{"host", "priv"} {
			got := r.sh(n, "router.sh; cat /tomato /carrots; echo -n mine >/carrots; rm -r /etc/apt; cat /carrots; ls -d /etc/apt 2>/dev/null || echo gone")
			if got != "routed\nfruitcarrotminegone" {
				t.Errorf("%s: %q", n, got)
			}
		}
		for _, n := range []string{"dir", "dirpriv"} {
			if got := r.sh(n, "cat /inside /opt/inside /below; rm -r /opt /inside; mkdir /opt; ls /opt; echo mine >/below; cat /below"); got != "inside\ninside\nbelow\nmine" {
				t.Errorf("%s: %q", n, got)
			}
		}
		if got := r.sh("dir", "cat /tomato"); got != "fruit" {
			t.Errorf("dir: %q", got)
		}
		has(t, dir+"/vegetables/carrots", "carrot")
		has(t, dir+"/root/below", "below\n")
		if _, err := os.Stat(dir + "/root/opt/inside"); err != nil {
			t.Error(err)
		}
		if got := testenv.Must(t, "diff", r.name+"/priv"); !strings.Contains(got, "D /etc/apt\n") || !strings.Contains(got, "C /carrots\n") {
			t.Errorf("diff: %s", got)
		}
	})
}

// A layer that would take /bin/sh away is refused, before anything is changed; so is one on an image of the store.
func TestLayersOverMergedUsr(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		if fi, err := os.Lstat("/bin"); err != nil || fi.Mode()&os.ModeSymlink == 0 {
			testenv.Miss(t, "a host with /bin -> usr/bin")
		}
		dir, name := t.TempDir(), testenv.LabName(t)
		testenv.MustCommand(t, "sh", "-euc", `cd "$1"
mkdir -p site/bin image/usr/bin layer/lib
echo x >site/bin/router.sh
ln -s usr/bin image/bin; ln -s usr/lib image/lib
echo x >image/usr/bin/sh
tar -C image -cf layer.tar .
s=$(sha256sum layer.tar | cut -d ' ' -f 1)
printf '{"os":"linux","architecture":"amd64","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$s" >config.json
printf '[{"Config":"config.json","RepoTags":["local/merged:1"],"Layers":["layer.tar"]}]' >manifest.json
tar -cf merged.tar manifest.json config.json layer.tar`, "sh", dir)
		refused := func(text string, code int, want string) {
			t.Helper()
			got := testenv.Run(t, "up", "--name", name, writeFile(t, dir, "lab.yaml", text))
			if got.Code != code || !strings.Contains(got.Stderr, want) {
				t.Errorf("exit code %d, %s", got.Code, got.Stderr)
			}
			if ps := testenv.Must(t, "ps", "-q"); ps != "" {
				t.Errorf("something was made: %s", ps)
			}
		}
		refused("nodes:\n  a: {layers: [./site]}\n", 3, "lab.yaml:2:15: the layer "+filepath.Join(dir, "site")+" has a directory bin, which would hide the link /bin -> usr/bin below it, and all that is reached by it, such as /bin/sh: move what is in it to usr/bin of the layer")
		refused("nodes:\n  a: {image: \"docker-archive:./merged.tar\", layers: [./layer]}\n", 1, "node a: put its layers on its image: the layer "+filepath.Join(dir, "layer")+" has a directory lib")
		if err := os.RemoveAll("/var/lib/nsnet/images"); err != nil { // the test's own
			t.Error(err)
		}
	})
}
