package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/nsnet/nsnet/lab"
)

// absolute returns a path from the root on. A relative one leads nowhere where the working directory is gone.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", &lab.Error{Op: "find " + path, Err: errors.New("the working directory is gone"), Remedy: "change to one that is there, or give the path from / on"}
	}
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return abs, nil
}
