package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
)

// pieces is what of a lab that a change was to replace is no more, in the words of an account: "limits web". It is written down within that lab.
type pieces struct {
	Replaced []string `json:"replaced_since,omitempty"`
}

// readPieces reads what of a lab is no more, as that is written down.
func readPieces(lab json.RawMessage) (map[string]bool, error) {
	var p pieces
	if err := json.Unmarshal(lab, &p); err != nil {
		return nil, err
	}
	all := make(map[string]bool, len(p.Replaced))
	for _, name := range p.Replaced {
		all[name] = true
	}
	return all, nil
}

// addPieces returns a lab as it is written down, with what else of it is no more.
func addPieces(lab json.RawMessage, names []string) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	var p pieces
	if err := json.Unmarshal(lab, &all); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(lab, &p); err != nil {
		return nil, err
	}
	p.Replaced = append(p.Replaced, names...)
	slices.Sort(p.Replaced)
	p.Replaced = slices.Compact(p.Replaced)
	b, err := json.Marshal(p.Replaced)
	if err != nil {
		return nil, err
	}
	all["replaced_since"] = b
	return json.Marshal(all)
}

// before is what the lab was told to be, each once: of an up that fails over and over, none but the first adds to it.
func (c *change) before() []json.RawMessage {
	var all []json.RawMessage
	for i, raw := range c.seen.raw {
		again := func(o json.RawMessage) bool { return bytes.Equal(o, raw) }
		if i == 0 && len(c.seen.raw) > 1 && again(c.content) || slices.ContainsFunc(all, again) {
			continue
		}
		all = append(all, raw)
	}
	return all
}

// noteMade writes down what of the change is made, when that has not come to its end: that much of what was before is no more.
func (c *change) noteMade(ctx context.Context) error {
	names := append(c.account.names(made), c.replaced...)
	if len(names) == 0 {
		return nil
	}
	if err := c.noteRules(ctx); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(c.dir, earlierFile))
	if err != nil {
		return err
	}
	var earlier []json.RawMessage
	if err := json.Unmarshal(b, &earlier); err != nil {
		return err
	}
	for i := range earlier {
		if earlier[i], err = addPieces(earlier[i], names); err != nil {
			return err
		}
	}
	if b, err = json.Marshal(earlier); err != nil {
		return err
	}
	return c.replace(earlierFile, b)
}

// noteRules writes down which rules of the host's firewall are left, once those are removed that the lab no longer needs.
func (c *change) noteRules(ctx context.Context) error {
	if len(c.todo.oldRules) == 0 || !c.account.all("- rule") {
		return nil
	}
	host, err := lockHost(ctx)
	if err != nil {
		return err
	}
	defer host.Close()
	now, err := readRecord(c.dir)
	if err != nil {
		return err
	}
	now.Rules = c.seen.rules
	return now.write(c.dir)
}
