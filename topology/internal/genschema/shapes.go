package main

import (
	"github.com/invopop/jsonschema"
)

// The types here stand for values that YAML lets people write in more than one way.
type (
	// Command is a list of program and arguments, or a text.
	Command struct{}
	// Scalar is text, or what YAML takes for a number or a boolean.
	Scalar struct{}
	// Size is an amount of bytes.
	Size struct{}
	// Pids is a number of processes, or max.
	Pids struct{}
	// MemoryOrMax is a size, or max.
	MemoryOrMax struct{}
	// CPUs is a list of processors.
	CPUs struct{}
	// OneOrList is a text or a list of texts.
	OneOrList struct{}
	// Addresses is a text, or a list of texts and lists of texts.
	Addresses struct{}
	// Endpoint is a text or a mapping.
	Endpoint struct{}
	// Bind is SOURCE:TARGET[:OPTIONS].
	Bind struct{}
	// Tmpfs is TARGET[:OPTIONS].
	Tmpfs struct{}
	// Cap is a capability's name, perhaps behind a dash.
	Cap struct{}
	// HostsLine is ADDRESS NAME...
	HostsLine struct{}
	// Layer is a text or a mapping.
	Layer struct{}
	// RootLayer is the same, and never rw.
	RootLayer struct{}
	// Port is [HOSTADDR:]HOSTPORT:PORT[/PROTOCOL].
	Port struct{}
	// Duration is a number with a unit of time.
	Duration struct{}
	// DependsOn is a list of nodes, or a mapping of nodes to conditions.
	DependsOn struct{}
)

func text() *jsonschema.Schema { return &jsonschema.Schema{Type: "string"} }

func pattern(p string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Pattern: p} }

func scalar() *jsonschema.Schema { return oneOf(text(), typed("number"), typed("boolean")) }

func typed(name string) *jsonschema.Schema { return &jsonschema.Schema{Type: name} }

func list(of *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: of}
}

func described(text string, s *jsonschema.Schema) *jsonschema.Schema {
	s.Description = text
	return s
}

func oneOf(s ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{OneOf: s} }

// JSONSchema is text or a list of scalars.
func (Command) JSONSchema() *jsonschema.Schema { return oneOf(text(), list(scalar())) }

// JSONSchema is text, number or boolean.
func (Scalar) JSONSchema() *jsonschema.Schema { return scalar() }

// JSONSchema is a number of bytes, or a number with a unit.
func (Size) JSONSchema() *jsonschema.Schema {
	return oneOf(&jsonschema.Schema{Type: "integer", Minimum: "1"}, pattern(`^[0-9]+(\.[0-9]+)? *([kKmMgGtT]([iI]?[bB])?|[bB])?$`))
}

// JSONSchema is a size, or max.
func (MemoryOrMax) JSONSchema() *jsonschema.Schema {
	size := Size{}.JSONSchema()
	size.OneOf = append(size.OneOf, &jsonschema.Schema{Const: "max"})
	return size
}

// JSONSchema is a number, or numbers and ranges with commas between.
func (CPUs) JSONSchema() *jsonschema.Schema {
	return oneOf(&jsonschema.Schema{Type: "integer", Minimum: "0"}, pattern(`^ *[0-9]+(-[0-9]+)?( *, *[0-9]+(-[0-9]+)?)* *$`))
}

// JSONSchema is a number, or max.
func (Pids) JSONSchema() *jsonschema.Schema {
	return oneOf(&jsonschema.Schema{Type: "integer", Minimum: "8", Maximum: "4194304"}, &jsonschema.Schema{Const: "max"})
}

// JSONSchema is a text or a list of texts.
func (OneOrList) JSONSchema() *jsonschema.Schema { return oneOf(text(), list(text())) }

// JSONSchema is a text, or a list of texts and of lists of them.
func (Addresses) JSONSchema() *jsonschema.Schema {
	return oneOf(text(), list(oneOf(text(), list(text()))))
}

// JSONSchema is the short or the long form.
func (Endpoint) JSONSchema() *jsonschema.Schema {
	return oneOf(text(), &jsonschema.Schema{Ref: "#/$defs/EndpointMapping"})
}

// JSONSchema is the form of a bind.
func (Bind) JSONSchema() *jsonschema.Schema {
	return pattern(`^.+:/[^:]+(:(ro|rw|idmap)(,(ro|rw|idmap))*)?$`)
}

// JSONSchema is the form of a tmpfs.
func (Tmpfs) JSONSchema() *jsonschema.Schema {
	return pattern(`^/[^:]+(:(size|mode)=[^,]+(,(size|mode)=[^,]+)*)?$`)
}

// JSONSchema is the form of a capability.
func (Cap) JSONSchema() *jsonschema.Schema { return pattern(`^[+-]?[A-Za-z_]+$`) }

// JSONSchema is the form of a line of /etc/hosts.
func (HostsLine) JSONSchema() *jsonschema.Schema { return pattern(`^\S+(\s+\S+)+$`) }

// JSONSchema is the form of a published port.
func (Port) JSONSchema() *jsonschema.Schema { return pattern(`^(.+:)?[0-9]+:[0-9]+(/(tcp|udp))?$`) }

// JSONSchema is the short or the long form.
func (Layer) JSONSchema() *jsonschema.Schema {
	return oneOf(text(), &jsonschema.Schema{Ref: "#/$defs/LayerMapping"})
}

// JSONSchema is the short or the long form.
func (RootLayer) JSONSchema() *jsonschema.Schema { return Layer{}.JSONSchema() }

// JSONSchema is the form of a time.
func (Duration) JSONSchema() *jsonschema.Schema {
	zero := &jsonschema.Schema{Type: "integer", Minimum: "0", Maximum: "0"}
	return oneOf(zero, pattern(`^([0-9.]+(ms|s|m|h))+$`))
}

// JSONSchema is a list of names, or a mapping of names to what is waited for.
func (DependsOn) JSONSchema() *jsonschema.Schema {
	return oneOf(list(text()), &jsonschema.Schema{Type: "object", AdditionalProperties: oneOf(&jsonschema.Schema{Ref: "#/$defs/Depend"}, typed("null"))})
}
