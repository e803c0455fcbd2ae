package overlayfs

// Kind is what an Entry is in its layer.
type Kind uint8

const (
	Dir      Kind = iota // a directory, merged with the layers below; it sets owner and mode
	Opaque               // a directory that hides the layers below
	Whiteout             // hides the name in the layers below
	File                 // a regular file
	Symlink              // a symbolic link
)

func (k Kind) String() string {
	switch k {
	case Dir:
		return "directory"
	case Opaque:
		return "opaque directory"
	case Whiteout:
		return "whiteout"
	case File:
		return "file"
	case Symlink:
		return "symbolic link"
	}
	return "entry of unknown kind"
}

// Entry is a file of a layer to be made.
type Entry struct {
	Path     string // relative to the layer's root, "etc/shadow"; "." is the root itself
	Kind     Kind
	Mode     uint32 // permission, set-id and sticky bits; not for Whiteout and Symlink
	UID, GID int    // not for Whiteout
	Data     []byte // a File's content, a Symlink's target
}
