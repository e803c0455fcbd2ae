package topology

import (
	_ "embed"
	"slices"
)

//go:generate go run ./internal/genschema

//go:embed schema.json
var schemaJSON []byte

// Schema is the JSON Schema (draft 2020-12) of the topology file, for editors. It knows the
// file's keys, types and value ranges; what refers to something else (an unknown node, an
// address outside its subnet) only Parse finds.
func Schema() ([]byte, error) { return slices.Clone(schemaJSON), nil }
