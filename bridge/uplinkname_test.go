package bridge

import (
	"fmt"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func TestNamesAreStable(t *testing.T) {
	// Users and records rely on them: these never change.
	for got, want := range map[string]string{
		LegName("demo", "lan0"):         "ns43c2c06f85",
		PortName("demo", "web", "eth0"): "nsedb6bee25e",
		TableName("demo"):               "nsnet-d6f85f28a0",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestNamesFitTheKernel(t *testing.T) {
	ok := regexp.MustCompile(`^ns[0-9a-f]{10}$`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b"), rapid.String().Draw(t, "c")
		for _, n := range []string{LegName(a, b), PortName(a, b, c)} {
			if !ok.MatchString(n) {
				t.Fatalf("%q", n)
			}
		}
		if LegName(a, b) == PortName(a, b, "") {
			t.Fatal("a leg and a port share a name")
		}
	})
}

// TestNamesDoNotCollide takes far more names than a host has. Forty bits are good for that:
// two of 100,000 names are the same with a chance of 1 in 200, two of 1,000 of 1 in 2 million,
// and then the kernel refuses the second.
func TestNamesDoNotCollide(t *testing.T) {
	seen := make(map[string]struct{}, 100_000)
	for lab := range 1000 {
		for bridge := range 100 {
			n := LegName(fmt.Sprintf("lab%d", lab), fmt.Sprintf("lan%d", bridge))
			if _, dup := seen[n]; dup {
				t.Fatalf("lab%d lan%d: %s is taken", lab, bridge, n)
			}
			seen[n] = struct{}{}
		}
	}
	if LegName("ab", "c") == LegName("a", "bc") {
		t.Error("the border between the words does not count")
	}
}
