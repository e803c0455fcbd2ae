package passwd

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const testPasswd = `root:x:0:0:root:/root:/bin/bash
# a comment
short:x:1
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
bad:x:-1:0::/:/bin/sh
alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash
alice:x:0:0:again:/root:/bin/bash
1234:x:0:0:digits:/root:/bin/sh
nohome:x:1001:1001:::
:x:0:0:nameless:/:/bin/sh
+@nis::::::
big:x:4294967295:0::/:/bin/sh
last:x:4294967294:7::/l:/bin/sh`

const testGroup = `root:x:0:
adm:x:4:syslog,alice
www-data:x:33:
sudo:x:27:alice
alice:x:1000:alice
again:x:27:alice
alicia:x:50:alicex,xalice
broken:x:nine:alice
last:x:7:last`

func TestLookup(t *testing.T) {
	for _, tc := range []struct {
		spec     string
		uid, gid uint32
		groups   []uint32
		home     string
		err      error
	}{
		{spec: "", home: "/root"},
		{spec: "0", home: "/root"},
		{spec: "root", home: "/root"},
		{spec: "alice", uid: 1000, gid: 1000, groups: []uint32{4, 27}, home: "/home/alice"},
		{spec: "1000", uid: 1000, gid: 1000, groups: []uint32{4, 27}, home: "/home/alice"},
		{spec: "alice:sudo", uid: 1000, gid: 27, home: "/home/alice"},
		{spec: "alice:9", uid: 1000, gid: 9, home: "/home/alice"},
		{spec: "1234", uid: 1234, home: "/"},
		{spec: "5555:66", uid: 5555, gid: 66, home: "/"},
		{spec: "nohome", uid: 1001, gid: 1001, home: "/"},
		{spec: "last", uid: 4294967294, gid: 7, home: "/l"},
		{spec: "mallory", err: ErrNoUser},
		{spec: "short", err: ErrNoUser},
		{spec: "bad", err: ErrNoUser},
		{spec: "big", err: ErrNoUser},
		{spec: "+@nis", err: ErrNoUser},
		{spec: "-1", err: ErrNoUser},
		{spec: "0x0", err: ErrNoUser},
		{spec: " 0", err: ErrNoUser},
		{spec: "root\n", err: ErrNoUser},
		{spec: "alice:nobody", err: ErrNoGroup},
		{spec: "alice:broken", err: ErrNoGroup},
		{spec: "4294967295", err: ErrRange},
		{spec: "18446744073709551616", err: ErrRange},
		{spec: "0:4294967296", err: ErrRange},
		{spec: ":", err: ErrSyntax},
		{spec: "alice:", err: ErrSyntax},
		{spec: ":alice", err: ErrSyntax},
		{spec: "alice:alice:", err: ErrSyntax},
	} {
		uid, gid, groups, home, err := Lookup(tc.spec, []byte(testPasswd), []byte(testGroup))
		if !errors.Is(err, tc.err) {
			t.Errorf("%q: error %v, want %v", tc.spec, err, tc.err)
			continue
		}
		if uid != tc.uid || gid != tc.gid || !slices.Equal(groups, tc.groups) || home != tc.home {
			t.Errorf("%q: %d %d %v %q, want %d %d %v %q", tc.spec, uid, gid, groups, home, tc.uid, tc.gid, tc.groups, tc.home)
		}
	}
}

func TestLookupWithoutFiles(t *testing.T) {
	uid, gid, groups, home, err := Lookup("", nil, nil)
	if uid != 0 || gid != 0 || groups != nil || home != "/root" || err != nil {
		t.Error(uid, gid, groups, home, err)
	}
	if _, _, _, _, err := Lookup("root", nil, nil); !errors.Is(err, ErrNoUser) {
		t.Errorf("root without a passwd file: %v", err)
	}
}

func TestErrorText(t *testing.T) {
	_, _, _, _, err := Lookup("no\x1b[2J\"body", nil, nil)
	if want := `look up "no?[2J?body": no such user`; err.Error() != want {
		t.Errorf("%q, want %q", err.Error(), want)
	}
}

// FuzzLookup looks for panics, for a failed look-up that yields ids, and for a name
// that yields ids no line of the file holds.
func FuzzLookup(f *testing.F) {
	for _, spec := range []string{"", "alice", "alice:sudo", "1000:", "4294967295", "4294967296", "-1", ":", "alice:0", "root:root", "+alice", " alice"} {
		f.Add(spec, testPasswd, testGroup)
	}
	// As Debian and Alpine have them, and with entries of NIS.
	f.Add("www-data", "root:x:0:0:root:/root:/bin/bash\n_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n+::::::\n", "root:x:0:\nwww-data:x:33:\nssl-cert:x:110:www-data,postgres\n")
	f.Add("nobody:nogroup", "nobody:x:65534:65534:nobody:/:/sbin/nologin", "nogroup:x:65533:\nnogroup:x:65534:")
	f.Fuzz(func(t *testing.T, spec, passwd, group string) {
		uid, gid, groups, home, err := Lookup(spec, []byte(passwd), []byte(group))
		if err != nil {
			if uid != 0 || gid != 0 || groups != nil || home != "" {
				t.Fatalf("%q failed with %d %d %v %q", spec, uid, gid, groups, home)
			}
			_ = err.Error()
			return
		}
		if home == "" || home[0] != '/' {
			t.Fatalf("home %q", home)
		}
		if slices.Contains(groups, gid) {
			t.Fatalf("groups %v hold %d", groups, gid)
		}
		name, _, _ := strings.Cut(spec, ":")
		if !isNumber(name) && name != "" && !strings.Contains("\n"+passwd, "\n"+name+":") {
			t.Fatalf("%q found in %q", name, passwd)
		}
	})
}
