package labinit

import (
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

// Only a lab of many nodes that is made is listened to: while it is in the making, each change would take longer for it.
func TestQuietBegins(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	for name, tt := range map[string]struct {
		nodes        int
		begin, known bool
	}{
		"in the making": {manyNodes, false, false},
		"few nodes":     {manyNodes - 1, true, false},
		"many nodes":    {manyNodes, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var q quiet
			defer q.end()
			if tt.begin {
				if err := q.begin(tt.nodes); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, known := q.look(tt.nodes); known != tt.known || (q.events != nil) != tt.known {
				t.Errorf("known %v, listening %v", known, q.events != nil)
			}
			// What is not yet known is from the look on, once somebody has found all as it should be.
			turn, _, _ := q.look(manyNodes)
			if q.settle(turn); tt.begin != q.is(1) {
				t.Errorf("a node is quiet: %v", q.is(1))
			}
		})
	}
}
