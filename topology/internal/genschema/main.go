package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

func main() {
	// go generate runs in the directory of the file that asks for it: package topology's.
	data, err := generate("internal/genschema")
	if err == nil {
		err = os.WriteFile("schema.json", data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate schema:", err)
		os.Exit(1)
	}
}

// generate gives the schema; src is the directory of this package's source, whose comments
// are read.
func generate(src string) ([]byte, error) {
	comments, err := comments(src)
	if err != nil {
		return nil, err
	}
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true}
	r.LookupComment = func(t reflect.Type, field string) string {
		if field == "" {
			return comments[t.Name()]
		}
		return comments[t.Name()+"."+field]
	}
	s := r.Reflect(&File{})
	s.Title = "nsnet topology"
	// For anchors.
	s.PatternProperties = map[string]*jsonschema.Schema{"^x-": {}}
	// Only an alternative of Endpoint or Layer refers to the long form, and one of DependsOn to what is waited for, which reflection does not see.
	for name, of := range map[string]any{"EndpointMapping": &EndpointMapping{}, "LayerMapping": &LayerMapping{}, "Depend": &Depend{}} {
		long := r.Reflect(of)
		s.Definitions[name] = long
		for name, def := range long.Definitions {
			s.Definitions[name] = def
		}
		long.Version, long.Definitions = "", nil
	}
	// A check that is empty takes back that of the defaults.
	if p, ok := s.Definitions["Node"].Properties.Get("ready"); ok {
		s.Definitions["Node"].Properties.Set("ready", described(p.Description, oneOf(&jsonschema.Schema{Ref: p.Ref}, typed("null"))))
	}
	// A node or bridge without a key of its own may be left empty.
	for _, key := range []string{"nodes", "bridges"} {
		if p, ok := s.Properties.Get(key); ok {
			p.AdditionalProperties = oneOf(p.AdditionalProperties, typed("null"))
		}
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return append(data, '\n'), nil
}

// comments gives the comments of the types in src and of their fields, by "Type" and
// "Type.Field": without the package, which reflection calls main or not, depending on
// whether a test runs.
func comments(src string) (map[string]string, error) {
	var r jsonschema.Reflector
	if err := r.AddGoComments("schema", src, jsonschema.WithFullComment()); err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	out := make(map[string]string, len(r.CommentMap))
	for key, text := range r.CommentMap {
		_, name, _ := strings.Cut(path.Base(key), ".")
		out[name] = strings.Join(strings.Fields(text), " ")
	}
	return out, nil
}
