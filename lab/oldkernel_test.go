package lab

import (
	"os"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

func TestOlderThan(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]bool{
		"5.18.0": true, "5.4.0-42-generic": true, "4.19.0": true, "5.19.0": false, "5.19-rc1": false, "6.1.0-48-cloud-amd64": false, "10.0": false, "odd": false, "": false,
	} {
		if got := olderThan(release, 5, 19); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

// The question that older kernels are asked has the right answer here, and nothing is left of it.
func TestIdmappedLayer(t *testing.T) {
	t.Parallel()
	testenv.Isolate(t, func(t *testing.T) {
		dir := t.TempDir()
		m, err := newMounter(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		if err := m.do(m.tryIdmappedLayer); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir + "/try"); err == nil {
			t.Error("the trial is seen outside")
		}
	})
}
