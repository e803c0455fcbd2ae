package consent

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
	"github.com/nsnet/nsnet/topology"
)

func TestThingsCover(t *testing.T) {
	read, write := topology.Ask{Kind: topology.AskPaths, What: "/x"}, topology.Ask{Kind: topology.AskPaths, What: "/x", Write: true}
	for _, c := range []struct {
		a, other topology.Ask
		want     bool
	}{
		{read, read, true}, {write, read, true}, {write, write, true}, {read, write, false},
		{write, topology.Ask{Kind: topology.AskPaths, What: "/y"}, false},
		{topology.Ask{Kind: topology.AskCaps, What: "BPF"}, topology.Ask{Kind: topology.AskCaps, What: "KILL"}, false},
		{write, topology.Ask{Kind: topology.AskWrites, What: "/x"}, false},
	} {
		if got := thingsOf([]topology.Ask{c.a}).cover(c.other); got != c.want {
			t.Errorf("%s covers %s: %v", c.a, c.other, got)
		}
	}
}

// However much a file asks for and was allowed, to decide costs little beside reading the file.
func TestFileThatAsksForMuch(t *testing.T) {
	t.Parallel()
	h, dir := host(t)
	var ports strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&ports, "'192.0.2.1:%d:1',\n ", 10000+i)
	}
	var l *topology.Lab
	reading, noCPU := testenv.CPU(func() { l = write(t, filepath.Join(dir, "lab.yaml"), "{ports: ["+ports.String()+"]}") })
	if noCPU != nil {
		t.Fatal(noCPU)
	}
	for _, step := range []struct {
		what  string
		given Given
	}{{"to keep", Given{All: true}}, {"that are kept", Given{}}} {
		var err error
		cpu, noCPU := testenv.CPU(func() { err = h.Obtain(t.Context(), l, step.given, nil) })
		if err := errors.Join(err, noCPU); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if cpu > 6*reading {
			t.Errorf("20000 things %s take %s, the file %s", step.what, cpu, reading)
		}
	}
}
