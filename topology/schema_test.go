package topology

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

type schemaObject struct {
	Properties map[string]struct {
		Description string `json:"description"`
	} `json:"properties"`
	Closed any `json:"additionalProperties"`
}

func schemaObjects(t *testing.T) map[string]schemaObject {
	t.Helper()
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		schemaObject
		Defs map[string]schemaObject `json:"$defs"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	objects := map[string]schemaObject{"File": s.schemaObject}
	for name, o := range s.Defs {
		if o.Properties != nil {
			objects[name] = o
		}
	}
	return objects
}

func keyNames[T any](defs []keyDef[T]) []string {
	var names []string
	for _, d := range defs {
		names = append(names, d.name)
	}
	slices.Sort(names)
	return names
}

// TestSchemaKnowsTheSameKeys keeps schema and decoder from drifting apart.
func TestSchemaKnowsTheSameKeys(t *testing.T) {
	decoder := map[string][]string{
		"File": keyNames(fileKeys()), "Node": keyNames(nodeKeys()), "DNS": keyNames(dnsKeys()),
		"Limits": keyNames(limitKeys()), "LabLimits": keyNames(labLimitKeys()), "IO": keyNames(ioKeys()), "Route": keyNames(routeKeys()),
		"Bridge": keyNames(bridgeKeys()), "Link": keyNames(linkKeys()), "EndpointMapping": keyNames(endpointKeys()),
		"Union": keyNames(unionKeys()), "LayerMapping": keyNames(layerKeys()),
		"Ready": keyNames(readyKeys()), "HTTP": keyNames(httpKeys()), "Depend": keyNames(dependKeys()),
	}
	objects := schemaObjects(t)
	for name, o := range objects {
		var keys []string
		for key, p := range o.Properties {
			keys = append(keys, key)
			if p.Description == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
		slices.Sort(keys)
		if !slices.Equal(keys, decoder[name]) {
			t.Errorf("%s: the schema knows %v, the decoder %v", name, keys, decoder[name])
		}
		if o.Closed != false {
			t.Errorf("%s: the schema allows unknown keys", name)
		}
	}
	if len(objects) != len(decoder) {
		t.Errorf("%d objects in the schema, %d in the decoder", len(objects), len(decoder))
	}
}

// TestDocumentedKeys holds docs/topology.md against the schema.
func TestDocumentedKeys(t *testing.T) {
	doc, err := os.ReadFile("../docs/topology.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range schemaObjects(t) {
		for key := range o.Properties {
			if !strings.Contains(string(doc), "`"+key+"`") {
				t.Errorf("docs/topology.md does not mention `%s` of %s", key, name)
			}
		}
	}
}

// TestDocumentExamples parses each complete file that docs/topology.md shows.
func TestDocumentExamples(t *testing.T) {
	doc, err := os.ReadFile("../docs/topology.md")
	if err != nil {
		t.Fatal(err)
	}
	schema := compiledSchema(t)
	files := 0
	for i, block := range strings.Split(string(doc), "```") {
		text, ok := strings.CutPrefix(block, "yaml\n")
		if i%2 == 0 || !ok || !strings.HasPrefix(text, "name:") {
			continue
		}
		files++
		if _, err := Parse("topology.md", []byte(text), Options{}); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if err := schema.Validate(asJSON(t, []byte(text))); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if files < 2 {
		t.Errorf("%d complete files in docs/topology.md", files)
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := compiledSchema(t)
	for _, text := range []string{
		"node: {}",
		"nodes: {a: {imgae: host}}",
		"nodes: {a: {image: 7}}",
		"nodes: {a: {entrypoint: 7}}",
		"nodes: {a: {limits: {memory: lots}}}",
		"nodes: {a: {binds: [x]}}",
		"links: [{endpoints: [a]}]",
		"links: [{endpoints: [a, {nod: b}]}]",
		"bridges: {a: {mtu: 12}}",
	} {
		if schema.Validate(asJSON(t, []byte(text))) == nil {
			t.Errorf("the schema accepts %s", text)
		}
	}
}
