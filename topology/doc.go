// Package topology reads a topology file: it turns YAML into a [Lab] in which every
// default is filled in and every address decided, or into a list of everything that is
// wrong with the file, each error with its line and column.
//
// The package is pure but for reading the file itself and, with [Options.CheckFiles], asking
// whether the host's files that it names exist. It is the only one that knows the format;
// docs/topology.md is the format's reference and [Schema] its JSON Schema.
//
// Data flows one way: text, guarded (guard.go) -> yaml.Node, whose positions make the error
// messages -> specs, one per section of the file (*_spec.go), already checked on their own
// -> Lab (resolve.go), where what refers to something else is checked.
//
// # Order
//
// Addresses from pools depend on the order of links, which is a list. Nodes and bridges are
// maps: their order in the file decides the order of Lab.Nodes and Lab.Bridges and
// nothing else.
//
// # Hostile files
//
// A file may come from a stranger. Size, nesting, the number of YAML nodes and of tokens on
// a line are bounded before the YAML library sees the text, because the library needs some
// 200 bytes for each YAML node and queues all tokens of a line. Whatever can multiply the
// text (aliases, merge keys, defaults) spends from one budget; when it is used up,
// decoding stops with an error. The number of reported errors is bounded, as each may search
// for a similar name.
//
// # Traps of YAML
//
// 012 is ten and 1.10 is 1.1 to a YAML library. All names, versions and addresses are taken
// from the text as it was written, never from a decoded number.
package topology
