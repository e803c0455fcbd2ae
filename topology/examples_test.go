package topology

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("topology.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("topology.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is YAML text as the JSON values that a schema is held against.
func asJSON(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Load(data, &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func exampleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../examples/topologies/*.yaml")
	if err != nil || len(files) < 11 {
		t.Fatalf("found %d examples: %v", len(files), err)
	}
	return files
}

func TestExamples(t *testing.T) {
	schema := compiledSchema(t)
	command := regexp.MustCompile(`nsnet (exec|down|ps|inspect) ([^ /\n]+)`)
	for _, file := range exampleFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			lab, err := Load(file, Options{CheckFiles: true})
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(asJSON(t, data)); err != nil {
				t.Error(err)
			}
			if want := strings.TrimSuffix(filepath.Base(file), ".yaml"); lab.Name != want {
				t.Errorf("lab %s in file %s", lab.Name, want)
			}
			if !bytes.HasPrefix(data, []byte("#")) {
				t.Error("there is no comment that says what the example shows")
			}
			for _, m := range command.FindAllStringSubmatch(string(data), -1) {
				if m[2] != lab.Name {
					t.Errorf("%q is not about lab %s", m[0], lab.Name)
				}
			}
		})
	}
}
