package attach

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Whatever a record holds, what is made of it is refused by the kernel at worst.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"schema": 2}`, `{"former": ["AA=="], "nic": {"addresses": ["AA=="], "routes": ["", "AAAA"], "mac": "x"}}`,
		`{"schema": 1, "id": "0123456789", "request": {"via": {"kind": "nic", "name": "eth0"}, "addresses": ["10.0.0.1/24"]}, "addresses": ["10.0.0.1/24", ""], "routes": [{"to": "::/0", "via": "fe80::1"}], "peer": {}}`,
		`{"former": ["AgAAAP4DAAEAAAAACAAPAP4AAAAIAAUAwAACAQgABAACAAAA"], "index": 2}`,
	} {
		f.Add([]byte(seed))
	}
	host, err := os.Open(os.DevNull)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = host.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "0123456789.json")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord(path)
		if err != nil {
			return
		}
		_ = r.CNI()
		_ = r.difference(&r.Request)
		_, _ = inherit(r.Former, r)
		var s script
		r.configure(&s, &handles{target: host, far: host})
		if r.NIC != nil {
			_ = r.home(host, host, map[string]int{"br0": 1})
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
