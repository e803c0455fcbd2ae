package execute

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/nsnet/nsnet/container/wire"
)

// Who connects to a lab's control socket may say anything: what is understood is said back the same, and nothing panics.
func FuzzRequest(f *testing.F) {
	for _, r := range []Request{
		{Node: "a", Command: Command{Argv: []string{"sh", "\xff"}, Env: []string{"A=1"}, User: "0:0"}},
		{Node: "web", Command: Command{Argv: []string{"vtysh", "-c", "show ip route"}, Workdir: "/srv", TTY: true, Rows: 24, Columns: 80}},
	} {
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, seed := range []string{`{"Node":"a"}`, `{"Command":""}`, `{"Command":"//////////8B"}`, `{"Command":[1]}`, `null`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		if json.Unmarshal(b, &r) == nil {
			said, err := json.Marshal(r)
			var again Request
			if err == nil {
				err = json.Unmarshal(said, &again)
			}
			repeated, rerr := json.Marshal(again)
			if err != nil || rerr != nil || !bytes.Equal(said, repeated) {
				t.Errorf("%s came back as %s, errors %v, %v", said, repeated, err, rerr)
			}
		}
		wire.DecodeFailure(wire.NewReader(b))
	})
}
