package bridge

import (
	"os"
	"testing"

	"github.com/google/nftables"
)

// A socket's tables go at once though it stays open, and those of others stay.
func TestRelease(t *testing.T) {
	newWorld(t)
	own := newTestTable(t)
	transit, err := NewTransit(testLab, IPv4, nil)
	must(t, err)
	defer transit.Close()
	other := testConfig()
	other.Lab = "other"
	stays, err := NewTable(other)
	must(t, err)
	defer stays.Close()
	made, err := new(nftables.Conn).ListTables()
	must(t, err)
	if len(made) != 5 { // each lab's is one of inet and one of netdev
		t.Fatalf("%d tables are made", len(made))
	}
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	must(t, Release([]*os.File{null, own.File(), transit.File()}))
	left, err := new(nftables.Conn).ListTables()
	must(t, err)
	for _, table := range left {
		if table.Name != TableName("other") {
			t.Errorf("table %s of family %d is left", table.Name, table.Family)
		}
	}
	if len(left) != 2 {
		t.Errorf("%d tables are left, want the other lab's two", len(left))
	}
}
