package topology

import (
	"slices"
	"strings"
	"testing"
)

func TestParseImage(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0a", 32)
	for text, want := range map[string]Image{
		"host":                          {Kind: ImageHost},
		"dir:x":                         {Kind: ImageDir, Path: "x"},
		"dir:/a:b":                      {Kind: ImageDir, Path: "/a:b"},
		"debian":                        {Kind: ImageRegistry, Name: "docker.io/library/debian:latest"},
		"debian:12":                     {Kind: ImageRegistry, Name: "docker.io/library/debian:12"},
		"dir":                           {Kind: ImageRegistry, Name: "docker.io/library/dir:latest"},
		"some/thing":                    {Kind: ImageRegistry, Name: "docker.io/some/thing:latest"},
		"index.docker.io/library/a:1":   {Kind: ImageRegistry, Name: "docker.io/library/a:1"},
		"localhost/a":                   {Kind: ImageRegistry, Name: "localhost/a:latest"},
		"Example.ORG:5000/a/b__c-d.e:T": {Kind: ImageRegistry, Name: "example.org:5000/a/b__c-d.e:T"},
		"[::1]:5000/a":                  {Kind: ImageRegistry, Name: "[::1]:5000/a:latest"},
		"a@" + digest:                   {Kind: ImageRegistry, Name: "docker.io/library/a@" + digest},
		"a:1@" + digest:                 {Kind: ImageRegistry, Name: "docker.io/library/a:1@" + digest},
		"host:1":                        {Kind: ImageRegistry, Name: "docker.io/library/host:1"},
		"oci:a/b":                       {Kind: ImageOCI, Path: "a/b"},
		"oci:a:b/c":                     {Kind: ImageOCI, Path: "a:b/c"},
		"oci:/a:v1.2":                   {Kind: ImageOCI, Path: "/a", Name: "v1.2"},
		"oci:/a:example.org/b:1":        {Kind: ImageOCI, Path: "/a:example.org/b", Name: "1"}, // until it is settled
		"oci-archive:a.tar":             {Kind: ImageOCIArchive, Path: "a.tar"},
		"oci-archive:/a.tar:v1":         {Kind: ImageOCIArchive, Path: "/a.tar", Name: "v1"},
		"docker-archive:/a:b.tar":       {Kind: ImageDockerArchive, Path: "/a:b.tar"},
		"docker-daemon:a:1":             {Kind: ImageDockerDaemon, Name: "a:1"},
		"docker-daemon:" + digest:       {Kind: ImageDockerDaemon, Name: digest},
	} {
		got, err := ParseImage(text)
		if err != nil || got != want {
			t.Errorf("%s is %+v, and not %+v: %v", text, got, want, err)
		}
		if again, err := ParseImage(got.String()); err != nil || again != got {
			t.Errorf("%s, written as %s, is %+v: %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", " ", "dir:", "oci:", "oci::a", "oci:a:", "oci:a:-", "oci-archive:", "oci-archive:a:", "docker-archive:", "docker-daemon:", "docker-daemon:../x", "docker-daemon:a b", "docker-daemon:a?b=c",
		"A", "a:", "a:b c", "a@", "a@sha256:", "a@md5:" + strings.Repeat("0", 32), "a@" + digest[:70], "a@" + strings.ToUpper(digest),
		"a/", "/a", "a//b", "a/../b", "../a", "a/.", "-a", "a-", "a..b", "a\nb", "a\x00", "a?b", "a#b", "a%2fb", "http://a/b", "a:1:2",
		"user@example.org/a", "example.org:port/a", "example.org:/a", "exa mple.org/a", "-x.org/a", "[::1/a", "[x]:1/a", "hots", "hsot",
		"a:" + strings.Repeat("t", 129), strings.Repeat("a", 256),
	} {
		if got, err := ParseImage(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

// Which colon stands between path and name is told by what there is.
func TestSettle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, there, path, name string }{
		{"oci:/l:docker.io/library/two:1.0", "/l", "/l", "docker.io/library/two:1.0"},
		{"oci:/l:docker.io/library/two", "/l", "/l", "docker.io/library/two"},
		{"oci:/l:localhost:5000/two:1.0", "/l", "/l", "localhost:5000/two:1.0"},
		{"oci-archive:/l.tar:example.org/two:1.0", "/l.tar", "/l.tar", "example.org/two:1.0"},
		{"oci:/a:b/c", "/a:b/c", "/a:b/c", ""},
		{"oci:/a:b/c", "/a /a:b/c", "/a:b/c", ""}, // the longest
		{"oci:/a:b/c:v1", "/a /a:b/c", "/a:b/c", "v1"},
		{"oci:/a:v1", "/a", "/a", "v1"},
		{"oci:/a:v1", "/a:v1 /a", "/a", "v1"}, // as it always was
		{"oci:/a:../b", "/a", "/a:../b", ""},  // no name
		{"oci:/a:b:1", "", "/a:b", "1"},
		{"dir:/a:b", "/a", "/a:b", ""},
		{"docker-archive:/a:b", "/a", "/a:b", ""},
	} {
		i, err := ParseImage(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		there := strings.Fields(tt.there)
		got := i.Settle(func(path string) bool { return slices.Contains(there, path) })
		if got.Path != tt.path || got.Name != tt.name || got.String() != tt.text {
			t.Errorf("%s where there is %q: %+v, and not %q and %q", tt.text, there, got, tt.path, tt.name)
		}
	}
}

// What is accepted can be put into a path of HTTP, a file's name behind a digest, and an error, as it is.
func FuzzParseImage(f *testing.F) {
	for _, s := range []string{"host", "debian:12", "example.org:5000/a/b@sha256:" + strings.Repeat("0", 64), "oci:a:b", "docker-daemon:a", "[::1]:5/a",
		"localhost:5000/frr:v10", "library/debian@sha256:" + strings.Repeat("a", 64), "dir:./root", "docker-archive:/srv/a.tar", "oci:/srv/layout:v1", "a/../b", "A/B", "a:" + strings.Repeat("t", 129), "a@md5:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, err := ParseImage(s)
		if err != nil {
			return
		}
		if again, err := ParseImage(i.String()); err != nil || again != i {
			t.Fatalf("%q is %+v, and that %+v: %v", s, i, again, err)
		}
		if bad := "\x00\r\n \t?#%\\\"<>"; i.Kind == ImageRegistry && (strings.ContainsAny(i.Name, bad) || slices.Contains(strings.Split(i.Name, "/"), "..")) {
			t.Fatalf("%q is the reference %q", s, i.Name)
		}
	})
}

// Of an image with layers it matters what was given; elsewhere entrypoint and command are one.
func TestEntrypoint(t *testing.T) {
	t.Parallel()
	const text = `
name: t
nodes:
  plain: {entrypoint: [a, b], command: [c]}
  image: {image: 'debian:12'}
  both: {image: 'debian:12', entrypoint: [a], command: [b]}
  none: {image: 'debian:12', entrypoint: [], command: []}
`
	l, err := Parse("t.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		entrypoint, command           string
		entrypointGiven, commandGiven bool
	}
	for i, want := range []node{{"", "a b c", false, false}, {"", "", false, false}, {"a", "b", true, true}, {"", "", true, true}} {
		n := &l.Nodes[i]
		if got := (node{strings.Join(n.Entrypoint, " "), strings.Join(n.Command, " "), n.EntrypointGiven, n.CommandGiven}); got != want {
			t.Errorf("%s: %+v, and not %+v", n.Name, got, want)
		}
	}
}
