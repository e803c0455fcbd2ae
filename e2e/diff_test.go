package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/lab"
)

func TestDiffAndCommit(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		testenv.Need(t, "busybox")
		dir := garden(t)
		if err := os.MkdirAll(dir+"/img/bin", 0o755); err != nil {
			t.Fatal(err)
		}
		testenv.MustCommand(t, "sh", "-c", "cp $(command -v busybox) "+dir+"/img/bin/busybox; for i in sh ls cat rm touch echo mkdir stat; do ln -s busybox "+dir+"/img/bin/$i; done; mkdir "+dir+"/img/etc; echo old >"+dir+"/img/etc/conf")
		r := start(t, writeFile(t, dir, "lab.yaml", `
nodes:
  quiet:
    hosts: ["10.0.0.1 x"]
    dns: {nameservers: [192.0.2.1]}
    tun: true
    tmpfs: [/cache/deep]
    binds: ["./fruits/apple:/etc/deep/apple"]
  host: {layers: [./fruits], unions: [{path: /mnt/u, layers: [./fruits, ./vegetables]}]}
  dir: {image: "dir:./img"}
  copy: {image: "dir:./img", storage: copy}
  kept: {persist: true}
`))
		for _, n := range []string{"quiet", "host", "dir", "copy", "kept"} {
			if got := testenv.Must(t, "diff", r.name+"/"+n); got != "" {
				t.Errorf("%s has changed before anything ran in it: %s", n, got)
			}
		}
		r.sh("host", `rm -r /etc/apt /apple /mnt/u/apple; mkdir /etc/apt; echo x >/etc/apt/mine; chown 5:6 /etc/apt/mine; chmod 4755 /etc/apt/mine; touch "/opt/$(printf 'a\nb\033')"; echo mine >/mnt/u/carrots`)
		got := testenv.Must(t, "diff", r.name+"/host")
		for _, line := range []string{"D /apple", "C /etc/apt", "A /etc/apt/mine", "D /etc/apt/sources.list", `A /opt/a\nb\x1b`, "D /mnt/u/apple", "C /mnt/u/carrots"} {
			if !strings.Contains("\n"+got, "\n"+line) {
				t.Errorf("diff does not tell %q:\n%s", line, got)
			}
		}
		for _, n := range []string{"dir", "copy"} {
			r.sh(n, "echo new >/etc/conf; rm /bin/touch; echo a >/added")
			if got := testenv.Must(t, "diff", r.name+"/"+n); got != "C /bin\nD /bin/touch\nC /etc\nC /etc/conf\nA /added\n" && got != "A /added\nC /bin\nD /bin/touch\nC /etc\nC /etc/conf\n" {
				t.Errorf("%s: %s", n, got)
			}
		}
		r.sh("kept", "echo k >/root/kept")
		var changes []lab.FileChange
		if err := json.Unmarshal([]byte(testenv.Must(t, "diff", r.name+"/kept", "--json")), &changes); err != nil || len(changes) != 2 || changes[1].Path != "/root/kept" {
			t.Errorf("JSON: %+v, %v", changes, err)
		}
		for _, empty := range []string{"/layer", "/image"} {
			if err := os.Mkdir(dir+empty, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		testenv.Must(t, "commit", r.name+"/host", dir+"/layer")
		testenv.Must(t, "commit", r.name+"/host", dir+"/union", "--union", "/mnt/u")
		testenv.Must(t, "commit", r.name+"/dir", "oci:"+dir+"/image")
		testenv.Must(t, "commit", r.name+"/copy", dir+"/copied")
		for _, c := range []struct {
			code int
			args []string
		}{
			{5, []string{r.name + "/host", dir + "/layer"}}, {5, []string{r.name + "/host", "oci:" + dir + "/x"}},
			{4, []string{r.name + "/host", dir + "/x", "--union", "/nowhere"}}, {4, []string{r.name + "/nobody", dir + "/x"}},
			{1, []string{r.name + "/host", dir + "/no/such/x"}},
		} {
			if got := testenv.Run(t, append([]string{"commit"}, c.args...)...); got.Code != c.code {
				t.Errorf("commit %q: exit code %d, %s", c.args, got.Code, got.Stderr)
			}
		}
		if st, err := os.Stat(dir + "/layer"); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("the layer, which has a set-user-id file of a node, is open to others: %v, %v", st, err)
		}
		testenv.Must(t, "down", r.name)
		if got := testenv.Must(t, "diff", r.name+"/kept"); !strings.Contains(got, "A /root/kept") {
			t.Errorf("a node that is down and keeps something: %q", got)
		}
		testenv.Must(t, "commit", r.name+"/kept", dir+"/waskept")
		if got := testenv.Run(t, "diff", r.name+"/dir"); got.Code != 9 {
			t.Errorf("a node that is down and keeps nothing: %+v", got)
		}
		testenv.Must(t, "down", r.name, "--purge")

		again := startAs(t, r.name+"2", writeFile(t, dir, "again.yaml", `
nodes:
  host: {layers: [./layer, ./fruits], unions: [{path: /mnt/u, layers: [./union, ./fruits, ./vegetables]}]}
  image: {image: "oci:./image", command: []}
  copied: {image: "dir:./img", layers: [./copied]}
  kept: {layers: [./waskept]}
`))
		if got := again.sh("host", "ls -A /etc/apt; stat -c '%u:%g %a' /etc/apt/mine; ls -d /apple /mnt/u/apple 2>&1 | grep -c 'No such'; cat /mnt/u/carrots /mnt/u/tomato"); got != "mine\n5:6 4755\n2\nmine\nfruit" {
			t.Errorf("the layer in another node: %q", got)
		}
		for _, n := range []string{"image", "copied"} {
			if got := again.sh(n, "cat /etc/conf /added; ls /bin"); got != "new\na\nbusybox\ncat\necho\nls\nmkdir\nrm\nsh\nstat" {
				t.Errorf("%s: %q", n, got)
			}
		}
		if got := again.sh("kept", "cat /root/kept"); got != "k" {
			t.Errorf("kept: %q", got)
		}
		testenv.Must(t, "down", again.name)
		testenv.Must(t, "image", "rm", "oci:"+dir+"/image")
		if err := os.RemoveAll("/var/lib/nsnet/images"); err != nil {
			t.Error(err)
		}
	})
}
