package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// hostileImage makes a root filesystem with this symbolic link, and a victim outside for it
// to lead to.
func hostileImage(t *testing.T, link, target string) (image, victim string) {
	t.Helper()
	dir := t.TempDir()
	// Any user may look: nodes are nobody to the host.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	image, victim = filepath.Join(dir, "image"), filepath.Join(dir, "victim")
	for _, d := range []string{"image/tmp", "image/etc", "image/dev", "image/data", "victim/net", "victim/pts", "victim/shm"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"resolv.conf", "hosts", "hostname", "null", "passwd"} {
		writeFile(t, filepath.Join(victim, f), "untouched\n")
	}
	at := filepath.Join(image, link)
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(strings.ReplaceAll(target, "VICTIM", victim), at); err != nil {
		t.Fatal(err)
	}
	return image, victim
}

// contents is all of a directory: names, modes, owners, times of change.
func contents(t *testing.T, dir string) string {
	t.Helper()
	return testenv.MustCommand(t, "find", dir, "-printf", "%p %M %U %s %C@ %l\n")
}

// FAULTS section 4, CVE-2019-19921 and the like: an image whose /proc, /sys, /dev or files of
// /etc lead elsewhere does not make nsnet write there.
func TestImageOfSymlinks(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bind := probe(t)
		image, _ := hostileImage(t, "data", "VICTIM")
		writeFile(t, filepath.Join(image, "dev", "extra"), "of the image")
		r := start(t, fmt.Sprintf("name: NAME\nnodes:\n  a:\n    image: dir:%s\n    %s\n", image, bind))
		r.refused("a", "read", "/dev/extra") // the node's devices are nsnet's alone
		for link, target := range map[string]string{
			"proc": "VICTIM", "sys": "VICTIM", "dev": "VICTIM", "etc": "VICTIM",
			"dev/pts": "VICTIM/pts", "dev/shm": "VICTIM/shm", "dev/net": "VICTIM/net", "dev/null": "VICTIM/null",
			"etc/resolv.conf": "VICTIM/resolv.conf", "etc/hosts": "VICTIM/hosts", "etc/hostname": "VICTIM/hostname",
		} {
			for _, target := range []string{target, strings.Replace(target, "VICTIM", "../../../../../../../../..VICTIM", 1), strings.Replace(target, "VICTIM", "../victim", 1)} {
				image, victim := hostileImage(t, link, target)
				before := contents(t, victim)
				r := define(t, fmt.Sprintf("name: NAME\nnodes:\n  a:\n    image: dir:%s\n    tun: true\n    hostname: evil\n    hosts: [\"10.0.0.1 x\"]\n    dns: {nameservers: [192.0.2.1]}\n    %s\n", image, bind))
				res := testenv.Run(t, "up", r.file)
				if res.Code != 0 && (res.Code != 1 || !strings.Contains(res.Stderr, "node a")) {
					t.Errorf("/%s -> %s: exit code %d\n%s", link, target, res.Code, res.Stderr)
				}
				if res.Code == 0 {
					r.allowed("a", "read", "/proc/self/status")
					r.allowed("a", "read", "/sys/kernel/profiling")
					r.allowed("a", "write", "/dev/null", "x")
					r.allowed("a", "read", "/etc/resolv.conf")
					r.allowed("a", "read", "/etc/hosts")
				}
				testenv.Must(t, "down", r.name)
				if after := contents(t, victim); after != before {
					t.Errorf("/%s -> %s: the victim was\n%s\nand is\n%s", link, target, before, after)
				}
			}
		}
	})
}

// CVE-2021-30465: targets of binds and of tmpfs are resolved inside the node.
func TestTargetsOfSymlinks(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		bind := strings.TrimSuffix(probe(t), "]")
		source := filepath.Join(t.TempDir(), "source")
		writeFile(t, source, "source\n")
		for _, target := range []string{"VICTIM", "../victim", "../../../../../../../../../..VICTIM", "/proc/1/root", "/proc/self/cwd", "/dev/../.."} {
			image, victim := hostileImage(t, "data", target)
			before := contents(t, victim)
			for _, what := range []string{
				bind + ", \"" + source + ":/data/new/file\"]", bind + ", \"" + source + ":/data/passwd\"]",
				bind + "]\n    tmpfs: [/data/new]", bind + "]\n    tmpfs: [/data]",
			} {
				r := define(t, fmt.Sprintf("name: NAME\nnodes:\n  a:\n    image: dir:%s\n    %s\n", image, what))
				res := testenv.Run(t, "up", r.file)
				if res.Code != 0 && (res.Code != 1 || !strings.Contains(res.Stderr, "node a")) {
					t.Errorf("/data -> %s: exit code %d\n%s", target, res.Code, res.Stderr)
				}
				if res.Code == 0 {
					r.allowed("a", "read", "/proc/self/status")
				}
				testenv.Must(t, "down", r.name)
				if after := contents(t, victim); after != before {
					t.Errorf("/data -> %s, %s: the victim was\n%s\nand is\n%s", target, what, before, after)
				}
			}
			if _, err := os.Lstat(filepath.Join(image, "data", "new")); err == nil && target != "VICTIM" {
				t.Errorf("/data -> %s: the image has changed", target)
			}
		}
	})
}

// CVE-2024-21626: a working directory behind a leaked descriptor.
func TestWorkdirBehindDescriptors(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		canary := "/run/canary"
		writeFile(t, canary, "host")
		t.Cleanup(func() { remove(t, canary) })
		bind := probe(t)
		r := start(t, "name: NAME\ndefaults: {"+bind+"}\nnodes: {a: {}}\n")
		for n := range 32 {
			for _, self := range []string{"self", "1", "thread-self"} {
				res := testenv.Run(t, "exec", "-w", fmt.Sprintf("/proc/%s/fd/%d", self, n), r.name+"/a", "/probe", "fchdir", canary)
				if res.Code != 10 && res.Code != 125 && res.Code != 126 {
					t.Errorf("exec in /proc/%s/fd/%d: exit code %d\n%s%s", self, n, res.Code, res.Stdout, res.Stderr)
				}
			}
		}
		for n := range 10 {
			r := define(t, fmt.Sprintf("name: NAME\ndefaults: {%s}\nnodes: {a: {workdir: /proc/self/fd/%d, command: [/probe, fchdir, %s]}}\n", bind, n, canary))
			if res := testenv.Run(t, "up", r.file); res.Code != 0 {
				fails(t, res, 126, "node a", fmt.Sprintf("/proc/self/fd/%d", n))
				continue
			}
			testenv.Must(t, "logs", "-f", r.name+"/a")
			if s := r.node("a"); s.ExitCode == nil || *s.ExitCode == 0 {
				t.Errorf("in /proc/self/fd/%d: the command is %+v", n, s)
			}
		}
	})
}
