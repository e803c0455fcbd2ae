package overlayfs

import "slices"

// Split makes two layers of one, which together do what it does, and hold no opaque
// directory: for file systems without extended attributes of users, as tmpfs was before
// Linux 6.6. An opaque directory is a plain one in the upper layer, and below it, in the lower
// one, a whiteout, at which the kernel's look-up of the directory's lower layers ends
// (ovl_lookup in fs/overlayfs/namei.c). The root itself cannot be hidden so: an opaque "." is
// a plain one.
func Split(entries []Entry) (upper, lower []Entry) {
	upper = slices.Clone(entries)
	made, hidden := map[string]bool{}, map[string]bool{}
next:
	for i := range upper {
		e := &upper[i]
		if e.Kind != Opaque {
			continue
		}
		e.Kind = Dir
		if e.Path == "." {
			continue
		}
		var above []Entry
		for at := range e.Path {
			if e.Path[at] != '/' {
				continue
			}
			if hidden[e.Path[:at]] {
				continue next
			}
			if !made[e.Path[:at]] {
				// Owner and mode of a merged directory are those of its uppermost layer.
				above = append(above, Entry{Path: e.Path[:at], Kind: Dir, Mode: 0o755})
			}
		}
		for _, d := range above {
			made[d.Path] = true
		}
		hidden[e.Path] = true
		lower = append(append(lower, above...), Entry{Path: e.Path, Kind: Whiteout})
	}
	return upper, lower
}

// Shift returns the entries with user and group ids higher by base: what an idmapped mount
// does, for file systems that cannot be mounted so, as tmpfs before Linux 6.3.
func Shift(entries []Entry, base int) []Entry {
	shifted := slices.Clone(entries)
	for i := range shifted {
		if shifted[i].Kind != Whiteout {
			shifted[i].UID += base
			shifted[i].GID += base
		}
	}
	return shifted
}
