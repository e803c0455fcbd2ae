package dirents

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// BufferSize is what most directories fit in.
const BufferSize = 32 << 10

// Each calls f for what is in a directory, but for "." and "..", as the kernel tells it: in no order, and what is renamed
// meanwhile perhaps twice. Typ is one of unix.DT_*, unix.DT_UNKNOWN where the file system does not tell. It ends early when f returns
// false, and without an error when the directory is removed meanwhile. The buffer is overwritten, and f may not keep the name.
// See getdents64(2).
func Each(fd int, buf []byte, f func(name []byte, typ uint8) bool) error {
	for {
		n, err := unix.Getdents(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOENT):
			return nil
		case err != nil:
			return err
		case n == 0 || !decode(buf[:n], f):
			return nil
		}
	}
}

// decode calls f for each struct linux_dirent64 until it returns false: inode and offset of eight bytes each, two bytes of length,
// one of type, a name that ends with a zero byte.
func decode(buf []byte, f func(name []byte, typ uint8) bool) bool {
	const header = 19
	for len(buf) > header {
		length := int(binary.NativeEndian.Uint16(buf[16:]))
		if length <= header || length > len(buf) {
			return true
		}
		name, typ := buf[header:length], buf[18]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		buf = buf[length:]
		if len(name) > 0 && string(name) != "." && string(name) != ".." && !f(name, typ) {
			return false
		}
	}
	return true
}
