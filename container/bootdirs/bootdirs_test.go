package bootdirs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func show(all []want) string {
	var b strings.Builder
	for _, w := range all {
		fmt.Fprintf(&b, "%s %o %s:%s\n", w.path, w.mode, w.user, w.group)
	}
	return b.String()
}

func TestTmpfiles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"Debian's FRR", "d /run/frr 0755 frr frr\n", "run/frr 755 frr:frr\n"},
		{"Debian's dnsmasq", "# comment\nd /run/dnsmasq 755 dnsmasq nogroup\n", "run/dnsmasq 755 dnsmasq:nogroup\n"},
		{"Debian's openvpn", "d /run/openvpn-server 0710 root root -\nd\t/run/openvpn\t0755\troot\troot\t-\t-\n", "run/openvpn-server 710 root:root\nrun/openvpn 755 root:root\n"},
		{"defaults", "d /run/a\nd /run/b - - -\n", "run/a 755 :\nrun/b 755 :\n"},
		{"all types that make directories", "d /run/a\nD! /run/b\nv /run/c\nq- /run/d\nQ+$ /run/e\n", "run/a 755 :\nrun/b 755 :\nrun/c 755 :\nrun/d 755 :\nrun/e 755 :\n"},
		{"others", "L /run/shm - - - - /dev/shm\nf /run/utmp\nr! /run/x\nz /run/y 2755 a b\ne /run/w\n? /run/z\n\"\" /run/q\nd^ /run/c\n", ""},
		{"sticky bits and ages", "d /var/log/p 1775 root postgres 10d\n", "var/log/p 1775 root:postgres\n"},
		{"marks in front", "d /run/a ~0700 :root :adm\n", "run/a 700 root:adm\n"},
		{"quotes", "d \"/run/with space\" 0750 'a' b\nd /run/two\\x20\nd \"/run/open\n", "run/with space 750 a:b\nrun/twox20 755 :\n"},
		{"specifiers", "d %t/a\nd %S/b\nd %C/c\nd %L/d\nd /run/%%e\nd /run/%m\nd /run/f%\n", "run/a 755 :\nvar/lib/b 755 :\nvar/cache/c 755 :\nvar/log/d 755 :\nrun/%e 755 :\n"},
		{"bad modes", "d /run/a 0999\nd /run/b 17777\nd /run/c u+x\n", ""},
		{"paths", "d /var/run/a\nd /run//b/\nd /run/./c\nd /run/../etc/d\nd run/e\nd /etc/f\nd /run\nd /tmp/g\nd /run/\x01h\nd /usr/i\nd /\n", "run/a 755 :\nrun/b 755 :\nrun/c 755 :\n"},
		{"long ones", "d /run/" + strings.Repeat("a", 255) + "\nd /run/" + strings.Repeat("b", 256) + "\nd /run" + strings.Repeat("/c", 256) + "\n", "run/" + strings.Repeat("a", 255) + " 755 :\n"},
		{"the machine's", "d /run/systemd/seats\nd /run/user\nd /run/netns/x\nd /run/systemd2\n", "run/systemd2 755 :\n"},
		{"nothing", "d\n\n \nd \n", ""},
	} {
		if got := show(tmpfiles(tc.text)); got != tc.want {
			t.Errorf("%s:\n%swant\n%s", tc.name, got, tc.want)
		}
	}
}

const birdScript = `#!/bin/sh

set -eu

BIRD_RUN_DIR=/run/bird
. /etc/bird/envvars


mkdir --parents "$BIRD_RUN_DIR";

if [ -n "$BIRD_RUN_USER" ]; then
    if ! getent passwd $BIRD_RUN_USER >/dev/null; then
	echo "Configured user '$BIRD_RUN_USER' doesn't exist."
	exit 1
    fi
fi

chown --silent "$BIRD_RUN_USER:$BIRD_RUN_GROUP" "$BIRD_RUN_DIR"
chmod 775 "$BIRD_RUN_DIR"

:
`

func TestUnit(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"/usr/lib/bird/prepare-environment": birdScript,
		"/etc/bird/envvars":                 "BIRD_RUN_USER=bird\nBIRD_RUN_GROUP=bird\n#BIRD_ARGS=\n",
		"/usr/bin/prog":                     "\x7fELF mkdir /run/no",
		"/usr/bin/python":                   "#!/usr/bin/python3\nmkdir /run/no\n",
		"/loop":                             "#!/bin/sh\n. /loop\nmkdir /run/loop\n",
	}
	read := func(path string) (string, bool) {
		text, ok := files[path]
		return text, ok
	}
	for _, tc := range []struct{ name, text, want string }{
		{"Debian's ssh", "[Service]\nExecStartPre=/usr/sbin/sshd -t\nRuntimeDirectory=sshd\nRuntimeDirectoryMode=0755\n", "run/sshd 755 :\n"},
		{"Debian's bird", "[Service]\nEnvironmentFile=/etc/bird/envvars\nExecStartPre=/usr/lib/bird/prepare-environment\nExecStartPre=/usr/sbin/bird -p\n", "run/bird 775 bird:bird\n"},
		{"all kinds", "[Service]\nUser=u\nRuntimeDirectory=a b/c\nStateDirectory=d\nCacheDirectory=e\nLogsDirectory=f\nLogsDirectoryMode=02755\n",
			"run/a 755 u::\nrun/b/c 755 u::\nvar/lib/d 755 u::\nvar/cache/e 755 u::\nvar/log/f 2755 u::\n"},
		{"a group", "[Service]\nUser=u\nGroup=g\nRuntimeDirectory=a\n", "run/a 755 u:g\n"},
		{"a user that systemd makes up", "[Service]\nDynamicUser=yes\nUser=u\nRuntimeDirectory=a\n", "run/a 755 :\n"},
		{"links", "[Service]\nRuntimeDirectory=a:b c\n", "run/a 755 :\nrun/c 755 :\n"},
		{"of an instance", "[Service]\nRuntimeDirectory=a-%i %%b ok\n", "run/%b 755 :\nrun/ok 755 :\n"},
		{"outside", "[Service]\nRuntimeDirectory=../a /b ./c \"\"\n", "run/c 755 :\n"},
		{"another section", "[Unit]\nRuntimeDirectory=a\n[Install]\nRuntimeDirectory=b\n", ""},
		{"taken back", "[Service]\nRuntimeDirectory=a\nRuntimeDirectory=\nRuntimeDirectory=b\n", "run/b 755 :\n"},
		{"lines that go on", "[Service]\nRuntimeDirectory=a \\\n# comment\n  b\nUser=u\n", "run/a 755 u::\nrun/b 755 u::\n"},
		{"commands", "[Service]\nExecStartPre=-/bin/mkdir -p /run/a\nExecStartPre=+/usr/bin/install -d -m 0750 -o u -g g /run/b /run/c\nExecStartPre=!!/bin/mkdir -m700 /run/d\n",
			"run/a 755 :\nrun/b 750 u:g\nrun/c 750 u:g\nrun/d 700 :\n"},
		{"forms of options", "[Service]\nExecStartPre=install --directory --mode=700 --owner u --group=g /run/a\nExecStartPre=install -dm 711 -ou /run/b\nExecStartPre=install -m 600 /etc/x /run/c\n",
			"run/a 700 u:g\nrun/b 711 u:\n"},
		{"chown", "[Service]\nExecStartPre=/bin/mkdir /run/a\nExecStartPre=/bin/chown -R u: /run/a\nExecStartPre=/bin/chmod u+s /run/a\nExecStartPre=/bin/chown :g /run/b\n", "run/a 755 u::\n"},
		{"a shell's command", "[Service]\nExecStartPre=/bin/sh -c 'test -d /run/a || mkdir -p /run/a && chmod 700 /run/a'\nExecStartPre=/bin/bash -ec \"mkdir /run/b 2>/dev/null; mkdir /run/c\"\n",
			"run/a 700 :\nrun/b 755 :\nrun/c 755 :\n"},
		{"the environment", "[Service]\nEnvironment=A=/run/a \"B=b c\"\nExecStartPre=mkdir $A ${A}/x $C/y\nExecStartPre=mkdir ${A}-z\n", "run/a-z 755 :\n"},
		{"files of the environment", "[Service]\nEnvironmentFile=-/missing\nEnvironmentFile=-/etc/bird/envvars\nExecStartPre=mkdir /run/x-$BIRD_RUN_USER\n", "run/x-bird 755 :\n"},
		{"an instance's", "[Service]\nExecStartPre=/bin/mkdir -p /run/%i\n", ""},
		{"no scripts", "[Service]\nExecStartPre=/usr/bin/prog\nExecStartPre=/usr/bin/python\nExecStartPre=/missing\n", ""},
		{"scripts without an end", "[Service]\nExecStartPre=/loop\n", "run/loop 755 :\n"},
		{"nothing", "[Service]\nExecStartPre=\nExecStartPre='\nExecStartPre=$X\nRuntimeDirectory='\n", ""},
	} {
		if got := show(unit(tc.text, read)); got != tc.want {
			t.Errorf("%s:\n%swant\n%s", tc.name, got, tc.want)
		}
	}
}

func TestScript(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"blocks", "if [ ! -d /run/a ]; then\n  mkdir /run/a || { [ -d /run/a ] || exit 2 ; }\n  chown dnsmasq:nogroup /run/a\nfi\n", "run/a 755 dnsmasq:nogroup\n"},
		{"variables", "D=/run; N='x y'\nmkdir \"$D/$N\" ${D}/z $D/$M\nmkdir $D/ok\n", "run/ok 755 :\n"},
		{"an assignment for one command", "X=1 mkdir /run/a\n", "run/a 755 :\n"},
		{"a value that is not known", "A=/run/a\nA=$(pwd)\nmkdir $A\nB=`date`\nmkdir /run/$B\n", ""},
		{"patterns", "mkdir /run/* /run/[ab]\nmkdir ~/x\nmkdir /run/{a,b}\n", ""},
		{"quotes", "mkdir '/run/a b' /run/c\\ d \"/run/e\\\"f\" # mkdir /run/no\n", "run/a b 755 :\nrun/c d 755 :\nrun/e\"f 755 :\n"},
		{"where output goes", "mkdir -p /run/a >/dev/null 2>&1; mkdir /run/b 2>> x && mkdir /run/c\n", "run/a 755 :\nrun/b 755 :\nrun/c 755 :\n"},
		{"lines that go on", "mkdir \\\n  -p \\\n  /run/a\n", "run/a 755 :\n"},
		{"in a subshell", "(umask 077; mkdir /run/a)\nexec mkdir /run/b\n", "run/a 755 :\nrun/b 755 :\n"},
		{"what does not end", "mkdir '/run/a", ""},
		{"nor this", "mkdir \"/run/a", ""},
		{"nor this", "mkdir /run/a ${A\nmkdir /run/b", ""},
	} {
		p := shell{env: map[string]string{}, read: func(string) (string, bool) { return "", false }}
		p.script(tc.text)
		if got := show(p.wants); got != tc.want {
			t.Errorf("%s:\n%swant\n%s", tc.name, got, tc.want)
		}
	}
}

// A value of itself twice grows no further than a word may.
func TestScriptIsBounded(t *testing.T) {
	t.Parallel()
	p := shell{env: map[string]string{}, read: func(string) (string, bool) { return "", false }}
	p.script("A=/run/aaaaaaaa\n" + strings.Repeat("A=$A$A\n", 60) + "mkdir $A\n" + strings.Repeat("mkdir /run/b\n", 3*maxDirs))
	if len(p.env["A"]) > 2*maxWord || len(p.wants) > maxDirs {
		t.Errorf("%d bytes, %d directories", len(p.env["A"]), len(p.wants))
	}
}

// tree makes files and returns their directory: those whose text ends in -> are links to what is in front.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		target, link := strings.CutSuffix(text, "->")
		var err error
		switch {
		case link:
			err = os.Symlink(target, at)
		case text == "fifo":
			err = unix.Mkfifo(at, 0o644)
		default:
			err = os.WriteFile(at, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func find(t *testing.T, layers ...string) string {
	t.Helper()
	r, err := Open(layers...)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	for _, d := range r.Find() {
		fmt.Fprintf(&b, "%s %o %d:%d\n", d.Path, d.Mode, d.UID, d.GID)
	}
	return b.String()
}

const (
	passwdFile = "root:x:0:0::/root:/bin/sh\nfrr:x:101:102::/:/bin/false\nbig:x:70000:0::/:/bin/false\n"
	groupFile  = "root:x:0:\nfrr:x:102:\nadm:x:4:\n"
)

func TestFind(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("d /run/outside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := tree(t, map[string]string{
		"etc/passwd": passwdFile, "etc/group": groupFile, "bin": "usr/bin->", "lib": "usr/lib->",
		"usr/lib/tmpfiles.d/frr.conf":           "d /run/frr 0750 frr frr\nd /run/unknown 0755 nobody -\nd /run/toobig 0755 big -\n",
		"usr/lib/tmpfiles.d/masked.conf":        "d /run/masked\n",
		"etc/tmpfiles.d/masked.conf":            "/dev/null->",
		"usr/lib/tmpfiles.d/a.conf":             "d /run/twice 0700\n",
		"usr/lib/tmpfiles.d/b.conf":             "d /run/twice 0755\nd /run/sshd 0711\n",
		"usr/lib/tmpfiles.d/link.conf":          outside + "->",
		"usr/lib/tmpfiles.d/fifo.conf":          "fifo",
		"usr/lib/tmpfiles.d/big.conf":           "d /run/big\n" + strings.Repeat("#", maxFile),
		"usr/lib/tmpfiles.d/other":              "d /run/other\n",
		"usr/lib/tmpfiles.d/systemd-x.conf":     "d /run/of-systemd\n",
		"usr/lib/systemd/system/ssh.service":    "[Service]\nRuntimeDirectory=sshd\n",
		"usr/lib/systemd/system/x.service":      "[Service]\nUser=frr\nLogsDirectory=x\n",
		"etc/systemd/system/x.service.d/m.conf": "[Service]\nLogsDirectoryMode=0700\n",
		"usr/lib/systemd/system/y.service":      "[Service]\nRuntimeDirectory=y\n",
		"etc/systemd/system/y.service":          "[Service]\nRuntimeDirectory=mine\n",
		"usr/lib/systemd/system/z.service":      "[Service]\nExecStartPre=/bin/prepare\n",
		"usr/bin/prepare":                       "#!/bin/sh\nmkdir -p /var/lib/z\n",
		"usr/lib/systemd/system/w.service":      "[Service]\nExecStartPre=/out\n",
		"out":                                   outside + "->",
	})
	const want = "run/frr 750 101:102\nrun/mine 755 0:0\nrun/sshd 711 0:0\nrun/twice 700 0:0\nvar/lib/z 755 0:0\nvar/log/x 700 101:102\n"
	if got := find(t, base); got != want {
		t.Errorf("%swant\n%s", got, want)
	}
	if got := find(t, t.TempDir()); got != "" {
		t.Errorf("in an empty root: %s", got)
	}

	// A layer above hides files and adds others.
	above := tree(t, map[string]string{"usr/lib/tmpfiles.d/a.conf": "d /run/above\n", "usr/lib/tmpfiles.d/b.conf": "gone->"})
	if got, want := find(t, above, base), strings.Replace(strings.Replace(want, "run/twice 700 0:0\n", "", 1), "run/sshd 711", "run/sshd 755", 1); got != "run/above 755 0:0\n"+want {
		t.Errorf("%swant\n%s", got, "run/above 755 0:0\n"+want)
	}
}

func TestStat(t *testing.T) {
	t.Parallel()
	base := tree(t, map[string]string{"run/a/x": "", "var/lib/y": "", "lock": "run->"})
	above := tree(t, map[string]string{"run/b/x": ""})
	r, err := Open(above, base)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for path, want := range map[string]State{"run": Directory, "run/a": Directory, "run/b": Directory, "run/c": Absent, "run/a/x": Other, "lock": Other, "lock/a": Other, "none/x": Absent} {
		if got, _ := r.Stat(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// The directories of this machine's own services, whatever these are, are found within the bounds.
func TestFindHere(t *testing.T) {
	t.Parallel()
	r, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dirs := r.Find()
	if !slices.IsSortedFunc(dirs, func(a, b Dir) int { return strings.Compare(a.Path, b.Path) }) || r.files >= maxFiles || r.bytes >= maxBytes {
		t.Errorf("%d files, %d bytes: %v", r.files, r.bytes, dirs)
	}
	t.Logf("%d files, %d bytes", r.files, r.bytes)
	for _, d := range dirs {
		t.Logf("%s %o %d:%d", d.Path, d.Mode, d.UID, d.GID)
	}
}

func BenchmarkFind(b *testing.B) {
	for b.Loop() {
		r, err := Open("/")
		if err != nil {
			b.Fatal(err)
		}
		r.Find()
		r.Close()
	}
}

func FuzzUnit(f *testing.F) {
	for _, s := range []string{birdScript, "[Service]\nExecStartPre=/bin/sh -c 'mkdir -p /run/a'\n", "[Service]\nRuntimeDirectory=a:b c\nUser=x\n", "d /run/a 0755 a b\n", "D! \"/run/a b\" ~0700 :a -\n",
		// Of Debian's packages.
		"[Unit]\nDescription=FRRouting\n[Service]\nNice=-5\nType=forking\nRuntimeDirectory=frr\nExecStartPre=-/usr/bin/install -m 755 -o frr -g frr -d /run/frr\nExecStart=/usr/lib/frr/frrinit.sh start\n",
		"[Service]\nType=forking\nPIDFile=/run/nginx.pid\nExecStartPre=/usr/sbin/nginx -t -q -g 'daemon on; master_process on;'\nRuntimeDirectory=sshd \\\n other/%N\nRuntimeDirectoryMode=0755\n",
		"# tmpfiles.d\nd /run/dnsmasq 0755 dnsmasq nogroup -\nd /run/mysqld - mysql\nL+ /run/x - - - - /y\nq /var/tmp 1777 root root 30d\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all := slices.Concat(tmpfiles(text), unit("[Service]\nExecStartPre=/x\n"+text, func(string) (string, bool) { return "#!/bin/sh\n" + text, true }))
		for _, w := range all {
			if p, ok := clean("/" + w.path); !ok || p != w.path || w.mode > 0o7777 {
				t.Errorf("%+v", w)
			}
		}
	})
}
