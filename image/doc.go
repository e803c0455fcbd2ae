// Package image keeps the images of nodes: it fetches them, verifies them, and unpacks their layers, once each, for all
// nodes and labs of the host.
//
//	/var/lib/nsnet/images/
//	  lock                  held shared by who uses the store, alone by who removes from it
//	  names/HEX.json        one record for each name: which layers, which command; HEX is the digest of the name
//	  blobs/HEX             manifests and configurations, as they were received
//	  layers/HEX/fs         a layer, unpacked; HEX is the digest of the uncompressed archive
//	  layers/HEX/layer.json its size
//	  layers/HEX.part       one that is being unpacked
//	  layers/HEX.lock       held by who does that
//
// A layer appears by one rename, when it is whole, verified and on disk; a name when all of its layers are there. So what
// the store has is right at any moment, and a pull that is killed leaves parts that nobody holds a lock of. These
// are removed by the next command that gets the store's lock alone; so is, then, whatever no name leads to.
//
// # Trust
//
// A registry reference is verified from its digest down: manifest, configuration, layer as it travels, and
// layer unpacked. A tag is whatever the registry says. What an archive may do is the matter of package unpack.
//
// The layers have their images' owners and setuid bits, which on the host are somebody's: the store is closed to all but root. A
// node sees them through mounts that are idmapped to its user namespace.
//
// # Traps
//
// The same layer may be in an image more than once. Overlayfs refuses a directory that it has been given already, and the
// topmost hides all others of its like: Image.Dirs leaves those out.
//
// Locks are of package lockfile, which has no fairness: who wants to remove waits until nobody pulls.
package image
