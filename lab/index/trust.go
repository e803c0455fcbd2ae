package index

import (
	"errors"
	"syscall"
)

// ErrForeign is that RunDir is not root's alone: whoever can write there says what labs there are, and where nsnet connects to.
var ErrForeign = errors.New(RunDir + " is a symbolic link, or others than root can write there")

// CheckRunDir returns ErrForeign unless RunDir is a directory of root that nobody else can write, or is not there. lstat(2).
func CheckRunDir() error {
	var st syscall.Stat_t
	if err := syscall.Lstat(RunDir, &st); err != nil {
		if errors.Is(err, syscall.ENOENT) {
			return nil
		}
		return err
	}
	const others = 0o022 // S_IWGRP | S_IWOTH
	if st.Mode&syscall.S_IFMT != syscall.S_IFDIR || st.Uid != 0 || st.Mode&others != 0 {
		return ErrForeign
	}
	return nil
}
