package topology

import "slices"

// Drivers of unions, by what the file and the command line call them.
const (
	StorageOverlay = "overlay" // the kernel's overlayfs
	StorageFuse    = "fuse"    // mergerfs: writable layers of the user's own
	StorageCopy    = "copy"    // no union at all: the layers are copied into the node's writable layer
)

// StorageDrivers lists the drivers.
func StorageDrivers() []string { return []string{StorageOverlay, StorageFuse, StorageCopy} }

// Layer is one layer of a union: a directory, or an image, whose own layers count one by one.
type Layer struct {
	Image    Image `json:"image"`
	Writable bool  `json:"writable,omitempty"` // what is written through the union is written there, in place
}

// Union is a union of directories at a path in a node. Unless a layer is writable, what is written stays in the
// node's own writable layer above them.
type Union struct {
	Path    string  `json:"path"`              // absolute, inside the node
	Layers  []Layer `json:"layers"`            // the first wins
	Storage string  `json:"storage,omitempty"` // the driver; empty: nsnet chooses
}

// Writable is what becomes of a node's own writable layer.
type Writable struct {
	Size    int64 `json:"size,omitempty"` // bytes of memory; 0: a quarter of the machine's. Not for a persistent one
	Persist bool  `json:"persist,omitempty"`
}

// Writes tells whether a layer of the union is written in place.
func (u *Union) Writes() bool {
	for i := range u.Layers {
		if u.Layers[i].Writable {
			return true
		}
	}
	return false
}

// WritesFirst tells whether the first layer is written in place, and no other: an overlay can do that.
func (u *Union) WritesFirst() bool {
	for i := range u.Layers {
		if u.Layers[i].Writable != (i == 0) {
			return false
		}
	}
	return len(u.Layers) > 0
}

// WritesAlone reports whether a union is an overlay that writes its first layer, or becomes one where nsnet chooses. No other
// union can write that directory then.
func WritesAlone(u *Union) bool {
	return u.WritesFirst() && (u.Storage == StorageOverlay || u.Storage == "")
}

// UseStorage makes every union of the lab use one driver, whatever the file says.
func (l *Lab) UseStorage(driver string) {
	for i := range l.Nodes {
		n := &l.Nodes[i]
		n.Storage = driver
		n.Unions = slices.Clone(n.Unions) // the nodes may be a copy of another lab's
		for j := range n.Unions {
			n.Unions[j].Storage = driver
		}
	}
}
