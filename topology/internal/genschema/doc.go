// Command genschema writes topology/schema.json, the JSON Schema of the topology file, from
// the Go types in types.go; their comments become the descriptions. It is run by go generate
// in package topology and is no part of nsnet's binary, so that the schema library is not
// either.
//
// # Trap
//
// The types describe the file, they do not decode it: the decoder works on YAML nodes
// because errors need positions. A test in package topology holds the keys of both
// against each other.
package main
