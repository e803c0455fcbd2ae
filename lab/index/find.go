package index

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/nsnet/nsnet/internal/lockfile"
)

// Places of labs' records, and what is in each.
const (
	RunDir      = "/run/nsnet"
	AliveFile   = "alive"
	ControlFile = "control.sock"
)

// Dir returns where a lab has its record.
func Dir(lab string) string { return filepath.Join(RunDir, lab) }

// ValidName tells what a lab's name may look like; it becomes a directory. A regular expression would be
// compiled at every start of nsnet, and so at every exec.
func ValidName(s string) bool {
	const longest = 63
	if s == "" || len(s) > longest {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("_.-", rune(c))) {
			return false
		}
	}
	return true
}

// Alive tells whether a lab's init lives, by the lock that it holds for life.
func Alive(dir string) bool {
	f, err := os.Open(filepath.Join(dir, AliveFile))
	if err != nil {
		return false
	}
	defer f.Close()
	return lockfile.Held(f)
}

// Find turns "LAB/NODE", or "NODE" where one running lab has it, into both names. False: that takes a look at the whole
// record, which above all tells what is wrong.
func Find(ref string) (lab, node string, ok bool) {
	if CheckRunDir() != nil {
		return "", "", false
	}
	if lab, node, ok = strings.Cut(ref, "/"); ok {
		if !ValidName(lab) {
			return "", "", false
		}
		x, known := Read(Dir(lab))
		return lab, node, known && x.Has(node)
	}
	labs, err := labs()
	if err != nil {
		return "", "", false
	}
	found := ""
	for _, lab := range labs {
		if live := Alive(Dir(lab)); !live {
			continue
		}
		x, known := Read(Dir(lab))
		has := known && x.Has(ref)
		if !known || has && found != "" {
			return "", "", false
		}
		if has {
			found = lab
		}
	}
	return found, ref, found != ""
}

// Settled reports whether all labs live and are built, so that there is nothing to sweep. False: perhaps not.
func Settled() bool {
	labs, err := labs()
	for _, lab := range labs {
		live := Alive(Dir(lab))
		if _, known := Read(Dir(lab)); !live || !known {
			return false
		}
	}
	return err == nil && len(labs) > 0
}

// labs lists the labs that have a record.
func labs() ([]string, error) {
	entries, err := os.ReadDir(RunDir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && ValidName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
