package lab

import (
	"errors"
	"io/fs"

	"github.com/nsnet/nsnet/image"
)

// ImageUses are the images that running labs, and those that are being built, run from.
func ImageUses() ([]image.Use, error) {
	names, err := Names()
	if err != nil {
		return nil, err
	}
	var uses []image.Use
	for _, name := range names {
		dir := dirOf(name)
		if live, _ := alive(dir); !live {
			continue // what is dead has let go of its mounts
		}
		r, err := readRecord(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // down was quicker
		}
		if err != nil {
			return nil, &Error{Lab: name, Op: "read the record of the running lab", Err: err, Remedy: "take it down first"}
		}
		uses = append(uses, r.Images...)
	}
	return uses, nil
}
