package topology

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse begins with the examples and with what is hard about YAML.
func FuzzParse(f *testing.F) {
	examples, err := filepath.Glob("../examples/topologies/*.yaml")
	if err != nil || len(examples) == 0 {
		f.Fatalf("%d examples: %v", len(examples), err)
	}
	for _, name := range examples {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{
		"", "---\n", "name: [", "name: &a *a", "- &a [*a]", "? {a: b}\n: c", "name: !!binary x", "name: t\nnodes: {a: {<<: *a}}",
		"name: t\nnodes: {a: &a {<<: *a}}", "name: t\nnodes: {a: {env: &e {<<: [*e, *e]}}}", "%YAML 1.2\n---\nname: t", "\xef\xbb\xbfname: t",
		"name: t\u0085x: y\u0085z: [", "name: t\nnodes: {a: {hostname: \u2028}}", "a:\u2029- [",
		"name: t\nnodes: {a: }\nbridges: {l: {address: 10.0.0.1/32}}\nlinks: [{endpoints: ['a:e', l]}]",
		"name: t\nnodes: {a: }\nlinks: [{endpoints: ['a:e', 'a:f'], addresses: [[], 10.0.0.1/32]}]",
		"name: t\nnodes: {a: {ports: ['[::1]:1:1'], tmpfs: ['/a:size=1.5G'], binds: ['a:/b:rw,idmap']}}",
		"name: t\nbridges: {l: {subnet: 0.0.0.0/1}, k: {subnet: '::/1'}}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { verdict(t, data) })
}
