package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nsnet/nsnet/bridge"
	"github.com/nsnet/nsnet/topology"
)

// Plan says what Up would do, changing nothing: everything for a lab that is not up,
// nothing for one that is up with the same content. One that is up with other content is
// ErrConflict, as it is for Up.
func Plan(_ context.Context, l *topology.Lab) ([]Action, error) {
	if needRoot() == nil {
		dir := dirOf(l.Name)
		if live, _ := alive(dir); live {
			r, err := readRecord(dir)
			if err != nil {
				return nil, &Error{Lab: l.Name, Op: "read its record", Err: err}
			}
			content, err := json.Marshal(l)
			if err != nil {
				return nil, err
			}
			if sum := sha256.Sum256(content); r.Digest == hex.EncodeToString(sum[:]) {
				return nil, nil
			}
			return nil, &Error{Lab: l.Name, Err: fmt.Errorf("%w: it is up with other content", ErrConflict), Remedy: fmt.Sprintf("it was made from %s; take it down first", r.File)}
		}
	}
	return actions(l), nil
}

// actions lists what a lab is made of, in the order of making.
func actions(l *topology.Lab) []Action {
	var out []Action
	add := func(kind, name, format string, args ...any) {
		out = append(out, Action{Op: "+", Kind: kind, Name: name, Detail: fmt.Sprintf(format, args...)})
	}
	for i := range l.Bridges {
		b := &l.Bridges[i]
		if b.External {
			continue
		}
		stp := "off"
		if b.STP {
			stp = "on"
		}
		add("bridge", b.Name, "mtu %d, stp %s", b.MTU, stp)
		if len(b.Addresses) > 0 {
			add("leg", bridge.LegName(l.Name, b.Name), "the host's, %s on %s", join(b.Addresses), b.Name)
		}
		if b.NAT {
			add("nat", b.Name, "nodes reach the outside through the host")
		}
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		command := "idle"
		if len(n.Command) > 0 {
			command = "runs " + strings.Join(n.Command, " ")
		}
		if n.Image.Stored() && !n.EntrypointGiven {
			command = strings.TrimSpace("runs its image's command " + strings.Join(n.Command, " "))
		}
		add("node", n.Name, "image %s, %s", n.Image, command)
	}
	for i := range l.Links {
		k := &l.Links[i]
		other := k.B.Bridge
		detail := join(k.A.Addresses)
		if other == "" {
			other = k.B.Node + ":" + k.B.Interface
			detail += " -- " + join(k.B.Addresses)
		}
		add("link", k.A.Node+":"+k.A.Interface+" -- "+other, "%s", detail)
	}
	return out
}

func join[T fmt.Stringer](l []T) string {
	s := make([]string, len(l))
	for i := range l {
		s[i] = l[i].String()
	}
	return strings.Join(s, ", ")
}
