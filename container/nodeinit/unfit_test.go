package nodeinit

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestUnfit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dynamic := dynamicProgram(t)
	foreign := bytes.Clone(dynamic)
	foreign[18] = byte(elf.EM_S390)
	for name, text := range map[string]string{
		"sh": "#!/bin/sh", "good.sh": "#!/bin/sh\n", "spaces.sh": "#! \t/bin/sh -e\n", "crlf.sh": "#!/bin/sh\r\necho\r\n",
		"missing.sh": "#!/no/such -x\n", "dir.sh": "#!/tmp\n", "nested.sh": "#!" + dir + "/missing.sh\n", "here.sh": "#!./good.sh\n",
		"loop.sh": "#!" + dir + "/loop.sh\n", "bare.sh": "#!\n", "long.sh": "#!/" + strings.Repeat("a", 300) + "\n", "text": "echo hi\n", "empty": "",
		"control.sh": "#!/no/\x1b[31m\n", "elf": string(dynamic), "broken": strings.Replace(string(dynamic), "/lib", "/bil", 1),
		"foreign": strings.Replace(string(foreign), "/lib", "/bil", 1), "static": string(self[:min(len(self), 1<<16)]), "cut": string(dynamic[:70]),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i <= 6; i++ { // scripts of scripts, of which the kernel takes five
		text := "#!" + dir + "/nested" + strconv.Itoa(i-1) + ".sh\n"
		if i == 1 {
			text = "#!/bin/sh\n"
		}
		if err := os.WriteFile(filepath.Join(dir, "nested"+strconv.Itoa(i)+".sh"), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"sh": "", "good.sh": "", "spaces.sh": "", "here.sh": "", "bare.sh": "", "long.sh": "", "text": "", "empty": "", "elf": "", "foreign": "", "static": "", "cut": "", "gone": "",
		"crlf.sh":    `/crlf.sh: its interpreter /bin/sh\r does not exist (the file has Windows line ends)`,
		"missing.sh": "/missing.sh: its interpreter /no/such does not exist",
		"nested.sh":  "/missing.sh: its interpreter /no/such does not exist",
		"dir.sh":     "/dir.sh: its interpreter /tmp cannot be executed",
		"nested5.sh": "",
		"nested6.sh": "/bin/sh: its interpreters are too many: each is a script itself",
		"loop.sh":    "/loop.sh: its interpreters are too many: each is a script itself",
		"control.sh": "/control.sh: its interpreter /no/?[31m does not exist",
		"broken":     "/broken: its dynamic linker /bil",
	} {
		for _, path := range []string{dir + "/" + name, "./" + name} {
			f := unfit(path, dir)
			if want == "" && f != ok || want != "" && (f.errno != syscall.ELIBACC || !strings.Contains(f.text, want)) {
				t.Errorf("%s: %+v, want %q", path, f, want)
			}
		}
	}
}

// dynamicProgram is one of this machine.
func dynamicProgram(t *testing.T) []byte {
	t.Helper()
	for _, path := range []string{"/bin/ls", "/usr/bin/env", "/bin/cat"} {
		if f, err := elf.Open(path); err == nil {
			section := f.Section(".interp")
			_ = f.Close()
			if b, err := os.ReadFile(path); err == nil && section != nil {
				return b
			}
		}
	}
	t.Fatal("no dynamically linked program here")
	return nil
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", argumentMax())
	var many []string
	for range 30 {
		many = append(many, long[:argumentMax()-1])
	}
	for name, tc := range map[string]struct {
		argv, env []string
		want      string
	}{
		"short":       {[]string{"a", long[:argumentMax()-1]}, []string{"A=1"}, ""},
		"argument":    {[]string{"a", "b", long}, nil, "argument 2 has "},
		"variable":    {[]string{"a"}, []string{"B=1", "A=" + long}, "the variable A has "},
		"together":    {append([]string{"a"}, many...), nil, "bytes together"},
		"many words":  {make([]string, 300_000), nil, "bytes together"},
		"no variable": {nil, []string{long}, "the variable x"},
	} {
		if got := TooLong(tc.argv, tc.env); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %.100q", name, got)
		}
	}
}

func TestUnmapped(t *testing.T) {
	t.Parallel()
	if f := unmapped("", 0, 65535, []uint32{1, 65535}); f != ok {
		t.Errorf("ids that every node has: %+v", f)
	}
	last := lastMapped()
	if b, err := os.ReadFile("/proc/self/uid_map"); err == nil && strings.Join(strings.Fields(string(b)), " ") == "0 0 4294967295" && last != 1<<32-1 {
		t.Errorf("the host's ids end at %d", last)
	}
}

func FuzzInterpreter(f *testing.F) {
	f.Add([]byte("#!/bin/sh -e\n"))
	f.Add([]byte("#! "))
	f.Add([]byte("#!/usr/bin/env -S python3 -u\r\n"))
	f.Add([]byte("#!\t/lib/ld.so\tx y\nrest"))
	if b, err := os.ReadFile("/bin/ls"); err == nil {
		f.Add(b[:min(len(b), 4096)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if name, is := scriptInterpreter(b); is && (len(name) > 255 || strings.ContainsAny(name, " \t\n\x00")) {
			t.Errorf("interpreter %q", name)
		}
		name := linker(b, func(to []byte, off int64) int {
			if off < 0 || off > int64(len(b)) {
				return 0
			}
			return copy(to, b[off:])
		})
		if strings.Contains(name, "\x00") {
			t.Errorf("linker %q", name)
		}
	})
}
