package e2e

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsnet/nsnet/consent"
	"github.com/nsnet/nsnet/internal/testenv"
)

// bare runs nsnet without what testenv.Run allows every file.
func bare(t *testing.T, args ...string) testenv.Result {
	t.Helper()
	return testenv.Command(t, append([]string{testenv.Binary(t)}, args...)...)
}

// unchanged fails the test if anything differs from before, or something was kept of a file that was refused.
func unchanged(t *testing.T, before *testenv.Snapshot) {
	t.Helper()
	leaks, err := before.Wait(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leaks {
		t.Errorf("a refusal has changed something: %s", l)
	}
	if kept, err := os.ReadDir(consent.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refusal has kept something: %v, %v", kept, err)
	}
}

// refused checks a refusal, of what is asked for at a place of the file.
func refused(t *testing.T, got testenv.Result, flag string, lines ...string) {
	t.Helper()
	want := strings.Join(lines, "\n") + "\nnsnet: nothing was changed; if this is meant, allow it with --allow " + flag + ", or all that the file asks for with --trust\n"
	if got.Code != 13 || got.Stdout != "" || !strings.HasSuffix(got.Stderr, want) {
		t.Errorf("exit code %d\n%s%swant 13\n%s", got.Code, got.Stdout, got.Stderr, want)
	}
}

// A stranger's file gets what lies beneath its own directory, and for all else it is refused before anything is done. With consent to
// what it asks for it is what it says.
func TestConsentRefused(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, dir := testenv.LabName(t), t.TempDir()
		own, other := filepath.Join(dir, "own"), filepath.Join(dir, "other")
		testenv.MustCommand(t, "sh", "-euc", `
			mkdir -p "$1/data" "$1/sub" "$2/usr/x"; chmod 0700 "$2"; echo secret >"$2/secret"
			ln -s ../other "$1/out"; ln -s /proc/1/root "$1/kernel"; mkdir "$1/sub/deep"; ln -s ../../other/secret "$1/sub/link"; : >"$1/docker.sock"
			tar -C "$2" -cf "$2/image.tar" secret
			ip link add hostbr type bridge; ip link set hostbr addrgenmode none; ip link set hostbr up`, "sh", own, other)
		defer testenv.MustCommand(t, "ip", "link", "del", "hostbr")
		for _, c := range []struct {
			what, node, more string
			flag             string
			asks             []string
		}{
			{what: "control sockets", node: `binds: ["/run:/r"]`, flag: "paths", asks: []string{"3:15: asks for the path /run, to read"}},
			{what: "root's files", node: `binds: ["DIR/other:/x:rw,idmap"]`, flag: "paths,writes",
				asks: []string{"3:15: asks for the path DIR/other, to read and write", "3:15: asks for writing as root in DIR/other"}},
			{what: "a setuid program of its own", node: `binds: ["./data:/x:rw,idmap"]`, flag: "writes", asks: []string{"3:15: asks for writing as root in DIR/own/data"}},
			{what: "a union written as root", node: `unions: [{path: /u, layers: ["./data:rw", ./sub]}]`, flag: "writes", asks: []string{"3:36: asks for writing as root in DIR/own/data"}},
			{what: "another's layer", node: `layers: [DIR/other]`, flag: "paths", asks: []string{"3:16: asks for the path DIR/other, to read"}},
			{what: "another's layer of a union", node: `unions: [{path: /u, layers: [{dir: ../other}]}]`, flag: "paths", asks: []string{"3:42: asks for the path DIR/other, to read"}},
			{what: "another's root", node: `image: "dir:DIR/other"`, flag: "paths", asks: []string{"3:14: asks for the path DIR/other, to read"}},
			{what: "another's archive", node: `image: "docker-archive:DIR/other/image.tar"`, flag: "paths", asks: []string{"3:14: asks for the path DIR/other/image.tar, to read"}},
			{what: "the host", node: `privileged: true`, flag: "privileged", asks: []string{"3:19: asks for privileged: true, which is root of the host"}},
			{what: "every system call", node: `seccomp: unconfined`, flag: "seccomp", asks: []string{"3:16: asks for seccomp: unconfined, which is every system call"}},
			{what: "set-user-ID programs", node: `nnp: false`, flag: "nnp", asks: []string{"3:12: asks for nnp: false, with which set-user-ID programs work"}},
			{what: "capabilities", node: `caps: [SYS_ADMIN, NET_ADMIN, -NET_RAW]`, flag: "caps", asks: []string{"3:13: asks for the capability SYS_ADMIN"}},
			{what: "a bridge of the host", node: ``, more: "bridges: {hostbr: {external: true}}\nlinks: [{endpoints: [\"a:eth0\", hostbr]}]\n", flag: "external",
				asks: []string{"4:30: asks for the host's bridge hostbr"}},
			{what: "a port for all", node: `ports: ["0.0.0.0:18080:80", "18081:81"]`, flag: "ports", asks: []string{"3:15: asks for the host's port 0.0.0.0:18080/tcp"}},
			{what: "up and out", node: `binds: ["./data/../../other:/x"]`, flag: "paths", asks: []string{"3:15: asks for the path DIR/other, to read"}},
			{what: "a link out", node: `binds: ["./out/secret:/x"]`, flag: "paths", asks: []string{"3:15: asks for the path DIR/other/secret, to read"}},
			{what: "a link that is deeper", node: `binds: ["./sub/link:/x"]`, flag: "paths", asks: []string{"3:15: asks for the path DIR/other/secret, to read"}},
			{what: "a socket beneath", node: `binds: ["./docker.sock:/x"]`, flag: "paths", asks: []string{"3:15: asks for the path DIR/own/docker.sock, to read"}},
			{what: "of the defaults", node: ``, more: "defaults: {nnp: false}\n", flag: "nnp", asks: []string{"4:17: asks for nnp: false, with which set-user-ID programs work"}},
			{what: "several", node: `nnp: false, binds: ["/run:/r"]`, flag: "nnp,paths", asks: []string{"3:12: asks for nnp: false, with which set-user-ID programs work", "3:27: asks for the path /run, to read"}},
		} {
			before, err := testenv.Take()
			if err != nil {
				t.Fatal(err)
			}
			file := writeFile(t, own, "lab.yaml", strings.ReplaceAll("name: "+name+"\nnodes:\n  a: {"+c.node+"}\n"+c.more, "DIR", dir))
			lines, notes := []string{}, ""
			for _, a := range c.asks {
				lines = append(lines, file+":"+strings.ReplaceAll(a, "DIR", dir))
			}
			refused(t, bare(t, "up", file), c.flag, lines...)
			unchanged(t, before)
			for _, l := range lines {
				notes += l + "\n"
			}
			if got := bare(t, "validate", file); got.Code != 0 || got.Stderr != notes {
				t.Errorf("%s: validate: exit code %d\n%s%s", c.what, got.Code, got.Stdout, got.Stderr)
			}
			plan := bare(t, "plan", file)
			if !strings.HasPrefix(plan.Stdout, "+ node  a ") && !strings.Contains(c.node, "archive") {
				t.Errorf("%s: plan: %s", c.what, plan.Stdout)
			}
			plan.Stdout = ""
			refused(t, plan, c.flag, lines...)
			unchanged(t, before)
			if strings.Contains(c.node, "archive") {
				continue // which it is not
			}
			up := func(got testenv.Result) bool { // or refused for another reason, by an older kernel
				return got.Code == 0 || got.Code == 7 && strings.Contains(got.Stderr, "/run: tmpfs has them from Linux 6.3 on")
			}
			if got := bare(t, "up", file, "--allow", c.flag); !up(got) || !strings.Contains(got.Stderr, lines[0]+" (allowed)\n") {
				t.Errorf("%s: with --allow: exit code %d\n%s%s", c.what, got.Code, got.Stdout, got.Stderr)
			}
			if got := bare(t, "up", file); !up(got) || !strings.Contains(got.Stderr, lines[0]+" (allowed before)\n") {
				t.Errorf("%s: allowed before: exit code %d\n%s%s", c.what, got.Code, got.Stdout, got.Stderr)
			}
			bare(t, "down", name)
			if err := os.RemoveAll(consent.Dir); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What was allowed to a file is its own, and for as long as it asks for nothing else.
func TestConsentIsKept(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, dir := testenv.LabName(t), t.TempDir()
		testenv.MustCommand(t, "sh", "-euc", `mkdir "$1/one" "$1/two" "$1/secret" "$1/public"; ln -s ../public "$1/one/link"`, "sh", dir)
		text := func(more string) string { return "name: " + name + "\nnodes:\n  a: {nnp: false" + more + "}\n" }
		one := writeFile(t, dir+"/one", "lab.yaml", text(`, binds: ["./link:/x"]`))
		if got := bare(t, "up", "--allow-host-paths", "--allow", "nnp", one); got.Code != 0 {
			t.Fatalf("exit code %d\n%s", got.Code, got.Stderr)
		}
		r := run{t, name}
		atEnd(t, testenv.Binary(t), "down", name)
		since := r.sh("a", "cut -d' ' -f22 /proc/1/stat")
		stays := func(what string) {
			t.Helper()
			if got := r.sh("a", "cut -d' ' -f22 /proc/1/stat"); got != since {
				t.Errorf("%s: the node was started anew", what)
			}
		}

		// Another file of the same lab is a stranger's.
		two := writeFile(t, dir+"/two", "lab.yaml", text(""))
		refused(t, bare(t, "up", two), "nnp", two+":3:12: asks for nnp: false, with which set-user-ID programs work")
		stays("another file")
		testenv.MustCommand(t, "ln", "-s", two, dir+"/one/other.yaml")
		refused(t, bare(t, "up", dir+"/one/other.yaml"), "nnp", dir+"/one/other.yaml:3:12: asks for nnp: false, with which set-user-ID programs work")
		// Text from elsewhere has no file, and no directory.
		stdin := exec.Command(testenv.Binary(t), "up", "-")
		stdin.Dir, stdin.Stdin = dir+"/one", strings.NewReader("name: "+name+"\nnodes: {a: {binds: ['./lab.yaml:/x']}}\n")
		if out, _ := stdin.CombinedOutput(); stdin.ProcessState.ExitCode() != 13 || !strings.Contains(string(out), "<stdin>:2:21: asks for the path "+one+", to read\n") {
			t.Errorf("standard input: exit code %d\n%s", stdin.ProcessState.ExitCode(), out)
		}

		// The file asks for more, or its link leads elsewhere.
		writeFile(t, dir+"/one", "lab.yaml", text(`, binds: ["./link:/x:rw"]`))
		refused(t, bare(t, "up", one), "paths", one+":3:27: asks for the path "+dir+"/public, to read and write")
		writeFile(t, dir+"/one", "lab.yaml", text(`, caps: [SYS_ADMIN], binds: ["./link:/x"]`))
		refused(t, bare(t, "up", one), "caps", one+":3:25: asks for the capability SYS_ADMIN")
		writeFile(t, dir+"/one", "lab.yaml", text(`, binds: ["./link:/x"]`))
		testenv.MustCommand(t, "ln", "-sfn", "../secret", dir+"/one/link")
		refused(t, bare(t, "up", one), "paths", one+":3:27: asks for the path "+dir+"/secret, to read")
		testenv.MustCommand(t, "ln", "-sfn", "../public", dir+"/one/link")
		stays("refusals")
		if got := bare(t, "up", one); got.Code != 0 || !strings.Contains(got.Stdout, "nothing to do") {
			t.Errorf("as before: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}

		// On a disk that cannot be written what is allowed is allowed once.
		testenv.MustCommand(t, "mount", "-o", "remount,ro", "/var/lib/nsnet")
		writeFile(t, dir+"/one", "lab.yaml", text(`, binds: ["./link:/x"], ports: ["0.0.0.0:18080:80"]`))
		for _, c := range []struct {
			flags []string
			code  int
		}{{[]string{"--allow", "ports"}, 0}, {nil, 13}} {
			if got := bare(t, append([]string{"up", one}, c.flags...)...); got.Code != c.code {
				t.Errorf("read-only, %v: exit code %d\n%s%s", c.flags, got.Code, got.Stdout, got.Stderr)
			}
		}
		testenv.MustCommand(t, "mount", "-o", "remount,rw", "/var/lib/nsnet")
		writeFile(t, dir+"/one", "lab.yaml", text(`, binds: ["./link:/x"]`))
		if got := bare(t, "up", one); got.Code != 0 {
			t.Errorf("less than before: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}

		// Somebody else's file in its place.
		if err := os.Chown(one, 1234, -1); err != nil {
			t.Fatal(err)
		}
		if got := bare(t, "up", one); got.Code != 13 {
			t.Errorf("another's file: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		if err := os.Chown(one, 0, -1); err != nil {
			t.Fatal(err)
		}

		if got := bare(t, "consent"); got.Code != 0 || !strings.Contains(got.Stdout, one+"  nnp: false, ") || !strings.Contains(got.Stdout, "the path "+dir+"/public, to read\n") {
			t.Errorf("consent: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		for _, code := range []int{0, 4} {
			if got := bare(t, "consent", "--withdraw", one); got.Code != code {
				t.Errorf("withdraw: exit code %d\n%s", got.Code, got.Stderr)
			}
		}
		if got := bare(t, "up", one); got.Code != 13 {
			t.Errorf("withdrawn: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		stays("withdrawn")
		// What a lab is needs no consent any more.
		for _, args := range [][]string{{"exec", name + "/a", "--", "true"}, {"restart", name + "/a"}, {"stop", name}, {"start", name}, {"ps", name}, {"down", one}} {
			if got := bare(t, args...); got.Code == 13 || args[0] == "exec" && got.Code != 0 {
				t.Errorf("%s: exit code %d\n%s", args, got.Code, got.Stderr)
			}
		}
	})
}

// What watch was allowed is what the file asked for when it began.
func TestConsentOfWatch(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		name, dir := testenv.LabName(t), t.TempDir()
		text := func(more string) string { return "name: " + name + "\nnodes:\n  a: {nnp: false" + more + "}\n" }
		file := writeFile(t, dir, "lab.yaml", text(""))
		cmd := exec.Command(testenv.Binary(t), "watch", "--trust", file)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		over := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer over.Stop()
		says := func(r *bufio.Scanner, part string) {
			t.Helper()
			for r.Scan() {
				if strings.Contains(r.Text(), part) {
					return
				}
			}
			t.Errorf("watch has ended without a word of %q", part)
		}
		out, errs := bufio.NewScanner(stdout), bufio.NewScanner(stderr)
		says(out, name+" is up")
		atEnd(t, testenv.Binary(t), "down", name)
		writeFile(t, dir, "new", text(", caps: [SYS_ADMIN]"))
		testenv.MustCommand(t, "mv", dir+"/new", file)
		says(errs, "the file asks for the capability SYS_ADMIN ("+file+":3:25); if this is meant, allow it with --allow caps")
		says(errs, "the lab is left as it is")
		if got := (run{t, name}).sh("a", "grep CapBnd /proc/self/status"); !strings.HasSuffix(got, "0000000000043dfb") {
			t.Errorf("the node has SYS_ADMIN: %s", got)
		}
		if got := bare(t, "up", "--allow", "caps", file); got.Code != 0 {
			t.Errorf("up: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		writeFile(t, dir, "new", text(", caps: [SYS_ADMIN], hosts: ['192.0.2.1 x']"))
		testenv.MustCommand(t, "mv", dir+"/new", file)
		says(out, "is up to date")
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		for errs.Scan() || out.Scan() {
			continue
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("watch: %v", err)
		}
	})
}

// A file that root alone can write, in a directory that /etc/nsnet/trust lists, needs no flag.
func TestTrustSetting(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		if err := os.Mkdir("/run/etc", 0o755); err != nil {
			t.Fatal(err)
		}
		testenv.MustCommand(t, "sh", "-euc", `mkdir /run/etc/upper /run/etc/work; mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work etc /etc`)
		defer func() {
			if err := unix.Unmount("/etc", unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
			testenv.MustCommand(t, "rm", "-r", "/run/etc", "/run/labs")
		}()
		testenv.MustCommand(t, "sh", "-euc", `mkdir -p /run/labs/here /etc/nsnet; chmod 0755 /run/labs /run/labs/here; printf '%s\n' '# ours' /run/labs/here >/etc/nsnet/trust; chmod 0644 /etc/nsnet/trust`)
		name := testenv.LabName(t)
		file := writeFile(t, "/run/labs/here", "lab.yaml", "name: "+name+"\nnodes: {a: {nnp: false}}\n")
		if got := bare(t, "up", file); got.Code != 0 || !strings.Contains(got.Stderr, " (trusted)\n") {
			t.Errorf("exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		bare(t, "down", name)
		other := writeFile(t, t.TempDir(), "lab.yaml", "name: "+name+"\nnodes: {a: {nnp: false}}\n")
		if got := bare(t, "up", other); got.Code != 13 || strings.Contains(got.Stderr, "/etc/nsnet") {
			t.Errorf("elsewhere: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		for _, c := range []struct{ do, undo, says string }{
			{"chmod g+w /run/labs/here/lab.yaml", "chmod g-w /run/labs/here/lab.yaml", "/run/labs/here/lab.yaml can be written by others than root"},
			{"chown 1234 /run/labs/here/lab.yaml", "chown 0 /run/labs/here/lab.yaml", "/run/labs/here/lab.yaml belongs to uid 1234"},
			{"chmod o+w /run/labs/here", "chmod o-w /run/labs/here", "/run/labs/here can be written by others than root"},
			{"chown 1234 /run/labs", "chown 0 /run/labs", "/run/labs belongs to uid 1234"},
			{"chmod o+w /etc/nsnet/trust", "chmod o-w /etc/nsnet/trust", "/etc/nsnet/trust can be written by others than root"},
			{"chmod 0777 /etc/nsnet", "chmod 0755 /etc/nsnet", "/etc/nsnet can be written by others than root"},
		} {
			testenv.MustCommand(t, "sh", "-euc", c.do)
			if got := bare(t, "up", file); got.Code != 13 || !strings.Contains(got.Stderr, "/etc/nsnet/trust is not followed: "+c.says) {
				t.Errorf("%s: exit code %d\n%s%s", c.do, got.Code, got.Stdout, got.Stderr)
			}
			testenv.MustCommand(t, "sh", "-euc", c.undo)
		}
		// A link is to the file, and paths begin where that is.
		link := filepath.Join(t.TempDir(), "link.yaml")
		testenv.MustCommand(t, "ln", "-s", file, link)
		if got := bare(t, "up", link); got.Code != 0 || !strings.Contains(got.Stderr, " (trusted)\n") {
			t.Errorf("a link: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		bare(t, "down", name)
		testenv.MustCommand(t, "rm", "/etc/nsnet/trust")
		if got := bare(t, "up", file); got.Code != 13 {
			t.Errorf("without the setting: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
	})
}
