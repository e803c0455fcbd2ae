package consent

import "github.com/nsnet/nsnet/topology"

// things are what a file was allowed. A file may ask for a hundred thousand things, so none is looked for among all.
type things map[topology.Ask]bool

func thingsOf(asks []topology.Ask) things {
	t := make(things, len(asks))
	for _, a := range asks {
		t[a] = true
	}
	return t
}

// cover reports whether who may have the things may have this one: it is one of them, or less than one.
func (t things) cover(a topology.Ask) bool { return t[a] || t.coverMore(a) }

// coverMore reports whether more than this one is among the things: not only to read.
func (t things) coverMore(a topology.Ask) bool {
	if a.Write {
		return false
	}
	a.Write = true
	return t[a]
}
