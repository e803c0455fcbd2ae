package topology

import (
	"errors"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ParseLimits reads limits from texts by their keys, each as the file would say it: "cpu": "0.2".
func ParseLimits(texts map[string]string) (Limits, error) {
	var l Limits
	d := &decoder{left: 10 * (len(texts) + 1)}
	for _, def := range limitKeys() {
		if text, given := texts[def.name]; given {
			def.set(d, &l, scalar(text))
		}
	}
	if len(d.errs) > 0 {
		all := make([]string, len(d.errs))
		for i, e := range d.errs {
			all[i] = e.Msg
		}
		return Limits{}, errors.New(strings.Join(all, "; "))
	}
	return l, nil
}

// scalar is a text as a YAML file's parser would have typed it.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text, Tag: "!!str"}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		n.Tag = "!!float"
	}
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		n.Tag = "!!int"
	}
	return n
}
