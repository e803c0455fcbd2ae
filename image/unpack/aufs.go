package unpack

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Aufs keeps files of its own in the root of each branch, and layers that were made of one have them: .wh..wh.aufs,
// .wh..wh.orph with files that were deleted while they were open, and .wh..wh.plnk with one more name for each file
// that has several. No node sees any of them, but an archive may have such a file's content below .wh..wh.plnk alone,
// and hard links to it elsewhere.
const (
	whMeta  = ".wh..wh."
	whLinks = ".wh..wh.plnk"
)

// isLinks reports whether a clean name is that of a file among aufs's links. These are unpacked like any other, until
// the end of the layer.
func isLinks(name string) bool {
	dir, base := path.Split(name)
	return dir == whLinks+"/" && !strings.HasPrefix(base, whPrefix)
}

// isAufs reports whether a clean name is that of a file of aufs's own, of which nothing is kept.
func isAufs(name string) bool {
	if isLinks(name) {
		return false
	}
	for e := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(e, whMeta) && e != whOpaque {
			return true
		}
	}
	return false
}

// dropLinks removes aufs's links: what the layer has by another name stays.
func (u *unpacker) dropLinks() error {
	if !u.links {
		return nil
	}
	if err := removeTree(u.root, whLinks); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove aufs's links: %w", err)
	}
	return nil
}
