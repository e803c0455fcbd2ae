package topology

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// ImageKind says where a node's root filesystem comes from.
type ImageKind string

const (
	ImageHost          ImageKind = "host"           // the host's own root, copy-on-write
	ImageDir           ImageKind = "dir"            // a directory, copy-on-write
	ImageRegistry      ImageKind = "registry"       // an image that a registry has
	ImageOCI           ImageKind = "oci"            // an OCI image layout, which is a directory
	ImageOCIArchive    ImageKind = "oci-archive"    // a tar archive of such a layout
	ImageDockerArchive ImageKind = "docker-archive" // what docker save writes
	ImageDockerDaemon  ImageKind = "docker-daemon"  // an image of the Docker Engine of this machine
)

// Image is a node's root filesystem.
type Image struct {
	Kind ImageKind `json:"kind"`
	Path string    `json:"path,omitempty"` // absolute, for ImageDir, ImageOCI, ImageOCIArchive and ImageDockerArchive
	// Name is the whole reference for ImageRegistry, the image's name at the engine for
	// ImageDockerDaemon, and which image of the layout is meant for ImageOCI and ImageOCIArchive,
	// where it may be empty.
	Name string `json:"name,omitempty"`
}

// Stored tells whether the image is one with layers, which is kept in the store.
func (i Image) Stored() bool { return i.Kind != ImageHost && i.Kind != ImageDir && i.Kind != "" }

// String is the image as the file may say it, with a reference in full.
func (i Image) String() string {
	switch i.Kind {
	case ImageRegistry:
		return i.Name
	case ImageHost, "":
		return string(ImageHost)
	}
	s := string(i.Kind) + ":" + i.Path
	if i.Path != "" && i.Name != "" {
		s += ":"
	}
	return s + i.Name
}

// imageForms is what an image may look like, for errors.
const imageForms = "host, dir:PATH, a reference such as debian:12, oci:DIR, oci-archive:FILE, docker-archive:FILE or docker-daemon:NAME"

// ParseImage understands an image as the file or a command line says it. A path stays relative.
func ParseImage(s string) (Image, error) {
	kind, rest, _ := strings.Cut(s, ":")
	switch k := ImageKind(kind); {
	case s == string(ImageHost):
		return Image{Kind: ImageHost}, nil
	case k == ImageDir && strings.HasPrefix(s, "dir:"), k == ImageDockerArchive:
		return Image{Kind: k, Path: rest}, emptyPath(rest)
	case k == ImageOCI, k == ImageOCIArchive:
		i := Image{Kind: k, Path: rest}
		if at := strings.LastIndexByte(rest, ':'); at > strings.LastIndexByte(rest, '/') {
			i.Path, i.Name = rest[:at], rest[at+1:]
			if i.Name == "" || !isWord(i.Name, "._-+@", maxTag) {
				return i, fmt.Errorf("names image %q of the layout, which is no name", i.Name)
			}
		}
		return i, emptyPath(i.Path)
	case k == ImageDockerDaemon:
		if _, err := ParseReference(rest); err != nil {
			return Image{}, fmt.Errorf("names an image that no engine has: %q %w", rest, err)
		}
		return Image{Kind: k, Name: rest}, nil
	}
	r, err := ParseReference(s)
	if err != nil {
		return Image{}, fmt.Errorf("is none of %s: it %w", imageForms, err)
	}
	// A slip of the pen must not fetch a stranger's program.
	if !strings.ContainsAny(s, ":/@") {
		if hint := didYouMean(s, []string{string(ImageHost)}); hint != "" {
			return Image{}, fmt.Errorf("is nearly host%s; the image of that name is %s", hint, r)
		}
	}
	return Image{Kind: ImageRegistry, Name: r.String()}, nil
}

// Settle returns i with its path and its name told apart. A path may have colons, and so may the name of an image
// of a layout, as docker.io/library/a:1: the longest path is taken that exists reports to be there. Where none is, i is
// returned as it is, with the shortest name.
func (i Image) Settle(exists func(path string) bool) Image {
	if i.Kind != ImageOCI && i.Kind != ImageOCIArchive {
		return i
	}
	for r, ok := i, true; ok; r, ok = r.nextReading() {
		if exists(r.Path) && (r.Name == "" || layoutName(r.Name)) {
			return r
		}
	}
	return i
}

// nextReading returns i with a shorter path and a longer name; ok is false where there is none.
func (i Image) nextReading() (r Image, ok bool) {
	at := strings.LastIndexByte(i.Path, ':')
	if at <= 0 {
		return i, false
	}
	r = Image{Kind: i.Kind, Path: i.Path[:at], Name: i.Path[at+1:]}
	if i.Name != "" {
		r.Name += ":" + i.Name
	}
	return r, true
}

// layoutName reports whether s may be the name of an image of a layout: words with slashes between them.
func layoutName(s string) bool {
	if len(s) > maxRepo {
		return false
	}
	for word := range strings.SplitSeq(s, "/") {
		if !isWord(word, "._-+@:", maxRepo) {
			return false
		}
	}
	return true
}

func emptyPath(p string) error {
	if p == "" {
		return errors.New("has no path")
	}
	return nil
}

// Reference names an image of a registry.
type Reference struct {
	Registry   string // "docker.io", "localhost:5000"
	Repository string // "library/debian"
	Tag        string // empty with a digest alone
	Digest     string // "sha256:..." or empty
}

const (
	dockerHub = "docker.io"
	maxTag    = 128
	maxRepo   = 255
)

// ParseReference understands [REGISTRY/]NAME[:TAG][@DIGEST] as Docker does: without a registry it is docker.io, and
// an image of docker.io without a slash is library's.
func ParseReference(s string) (Reference, error) {
	var r Reference
	name, digest, pinned := strings.Cut(s, "@")
	if pinned {
		if !ValidDigest(digest) {
			return r, fmt.Errorf("has a digest that is not sha256: and 64 hexadecimal digits: %q", digest)
		}
		r.Digest = digest
	}
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name, r.Tag = name[:at], name[at+1:]
		if !isWord(r.Tag, "._-", maxTag) {
			return r, fmt.Errorf("has a tag that is not letters, digits, dots and dashes: %q", r.Tag)
		}
	} else if !pinned {
		r.Tag = "latest"
	}
	first, rest, slash := strings.Cut(name, "/")
	if slash && (strings.ContainsAny(first, ".:") || first == "localhost") {
		r.Registry, r.Repository = strings.ToLower(first), rest
		if !validHost(r.Registry) {
			return r, fmt.Errorf("has a registry that is not a host or host:port: %q", first)
		}
	} else {
		r.Registry, r.Repository = dockerHub, name
	}
	if r.Registry == "index.docker.io" || r.Registry == "registry-1.docker.io" {
		r.Registry = dockerHub
	}
	if len(r.Repository) > maxRepo || !validRepository(r.Repository) {
		return r, fmt.Errorf("has a name that is not lower-case words with slashes between them: %q", r.Repository)
	}
	if r.Registry == dockerHub && !strings.Contains(r.Repository, "/") {
		r.Repository = "library/" + r.Repository
	}
	return r, nil
}

// String is the reference in full.
func (r Reference) String() string {
	s := r.Registry + "/" + r.Repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// ValidDigest tells whether s is "sha256:" and 64 lower-case hexadecimal digits, and so a name of a file as well.
func ValidDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// validRepository takes words of lower-case letters and digits, with single dots, one or two underscores or dashes
// inside, and slashes between them. None of it means anything in a URL or a path.
func validRepository(s string) bool {
	for word := range strings.SplitSeq(s, "/") {
		inner := strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789._-")
		edge := strings.Trim(word, "._-")
		if word == "" || inner != "" || edge != word || strings.Contains(word, "..") {
			return false
		}
	}
	return s != ""
}

// isWord tells whether s is letters, digits and the others, the first a letter, a digit or an underscore.
func isWord(s, others string, longest int) bool {
	if s == "" || len(s) > longest {
		return false
	}
	for i := range len(s) {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
		if !word && (i == 0 || strings.IndexByte(others, c) < 0) {
			return false
		}
	}
	return true
}

// validHost takes a host name or address, IPv6 in brackets, and a port.
func validHost(s string) bool {
	if v6, ok := strings.CutPrefix(s, "["); ok {
		addr, port, ok := strings.Cut(v6, "]")
		return ok && addr != "" && strings.Trim(addr, "0123456789abcdef:.") == "" && (port == "" || validPort(port))
	}
	host, port := s, ""
	if at := strings.IndexByte(s, ':'); at >= 0 {
		host, port = s[:at], s[at:]
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || strings.Trim(label, "-") != label {
			return false
		}
	}
	return port == "" || validPort(port)
}

// validPort takes ":" and digits.
func validPort(s string) bool {
	return len(s) > 1 && len(s) <= 6 && s[0] == ':' && isDigits(s[1:])
}

// Abs is the image with its path below dir, unless it is absolute.
func (i Image) Abs(dir string) Image {
	if i.Path != "" && !filepath.IsAbs(i.Path) {
		i.Path = filepath.Join(dir, i.Path)
	}
	return i
}
