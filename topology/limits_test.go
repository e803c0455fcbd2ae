package topology

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLimits(t *testing.T) {
	got, err := ParseLimits(map[string]string{"cpu": "0.2", "cpu_weight": "50", "memory": "64MiB", "pids": "100"})
	if d := cmp.Diff(Limits{CPU: 0.2, CPUWeight: 50, Memory: 64 << 20, Pids: 100}, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err := ParseLimits(nil); err != nil || !cmp.Equal(got, Limits{}) {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	for key, text := range map[string]string{"cpu": "-1", "cpu_weight": "10001", "memory": "1KiB", "pids": "many"} {
		if got, err := ParseLimits(map[string]string{key: text}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %s: %+v, %v", key, text, got, err)
		}
	}
}
