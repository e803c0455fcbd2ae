package topology

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxDuration is a day: what is longer is a mistake.
const maxDuration = 24 * 60 * 60 * 1000

// parseDuration reads a time in milliseconds as Docker and Kubernetes have it: 500ms, 5s, 1.5s, 1m30s.
func parseDuration(s string) (int64, error) {
	total := 0.0
	if s == "" {
		return 0, errors.New("it is empty")
	}
	for rest := s; rest != ""; {
		i := 0
		for i < len(rest) && (rest[i] >= '0' && rest[i] <= '9' || rest[i] == '.') {
			i++
		}
		v, err := strconv.ParseFloat(rest[:i], 64)
		if err != nil {
			return 0, errors.New("it is not a number with a unit")
		}
		j := i
		for j < len(rest) && rest[j] >= 'a' && rest[j] <= 'z' {
			j++
		}
		factor, ok := map[string]float64{"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}[rest[i:j]]
		switch {
		case i == j && strings.Trim(s, "0") == "":
			return 0, nil // nought needs no unit
		case i == j:
			return 0, errors.New("the unit is missing: ms, s, m or h")
		case !ok:
			return 0, fmt.Errorf("unknown unit %q", rest[i:j])
		}
		total += v * factor
		rest = rest[j:]
	}
	if total > maxDuration {
		return 0, errors.New("it is longer than a day")
	}
	return int64(math.Round(total)), nil
}

// duration takes a time of at least so many milliseconds.
func (d *decoder) duration(n *yaml.Node, what string, least int64) opt[int64] {
	n = d.in(n)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.errorf(n, "%s must be a time such as 5s, not %s", what, typeName(n))
		return opt[int64]{}
	}
	v, err := parseDuration(n.Value)
	if err != nil {
		d.errorf(n, "%s must be a time such as 5s, not %q: %v", what, n.Value, err)
		return opt[int64]{}
	}
	if v < least {
		d.errorf(n, "%s must be at least %d ms, not %s", what, least, n.Value)
		return opt[int64]{}
	}
	return opt[int64]{v, n}
}
