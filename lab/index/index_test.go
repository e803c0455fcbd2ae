package index

import "testing"

func TestIndex(t *testing.T) {
	t.Parallel()
	nodes := []string{"n1", "n10", "a.b-c"}
	for _, limits := range []bool{false, true} {
		x, ok := Parse(New(limits, nodes).Bytes())
		if !ok || x.Limits != limits {
			t.Fatalf("limits %v: got %+v, %v", limits, x, ok)
		}
		for name, want := range map[string]bool{
			"n1": true, "n10": true, "a.b-c": true,
			"": false, "n": false, "1": false, "n1\nn10": false, "\n": false, "a.b": false, plain: false, withLimits: false,
		} {
			if x.Has(name) != want {
				t.Errorf("has %q is not %v", name, want)
			}
		}
	}
	if x, ok := Parse(New(false, nil).Bytes()); !ok || x.Has("n1") || x.Has("") {
		t.Errorf("of no nodes: %+v, %v", x, ok)
	}
}

// What another nsnet has written is not guessed at: the record is read then.
func TestIndexUnknown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "n1\n", "2 plain\nn1\n", plain, "1 plain \nn1\n"} {
		if x, ok := Parse([]byte(text)); ok {
			t.Errorf("%q is taken for %+v", text, x)
		}
	}
}
