package topology

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxSize is more than any machine has, in bytes: 1 PiB. A larger number is a slip.
const maxSize = 1 << 50

// parseSize reads an amount of bytes as people write it: 1048576, 512k, 64M, 64MiB, 1.5G.
// K, M, G and T alone and with "iB" are powers of 1024, with "B" powers of 1000.
func parseSize(s string) (int64, error) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	digits, unit := s[:i], strings.TrimLeft(s[i:], " ")
	if digits == "" {
		return 0, errors.New("it does not begin with a number")
	}
	factor, err := sizeUnit(unit)
	if err != nil {
		return 0, err
	}
	if !strings.Contains(digits, ".") {
		v, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || v > maxSize/factor {
			return 0, errors.New("it is too large")
		}
		return v * factor, nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", digits)
	}
	if f *= float64(factor); f > maxSize {
		return 0, errors.New("it is too large")
	}
	return int64(f), nil
}

// sizeText writes an amount of bytes as people do, in the largest unit that it is a whole number of.
func sizeText(n int64) string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if shift := 40 - 10*i; n != 0 && n%(1<<shift) == 0 {
			return strconv.FormatInt(n>>shift, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

func sizeUnit(unit string) (int64, error) {
	if unit == "" || strings.EqualFold(unit, "B") {
		return 1, nil
	}
	power := strings.IndexByte("kmgt", lower(unit[0])) + 1
	base := int64(1024)
	switch rest := unit[1:]; {
	case power == 0:
		return 0, fmt.Errorf("unknown unit %q", unit)
	case strings.EqualFold(rest, "B"):
		base = 1000
	case rest != "" && !strings.EqualFold(rest, "iB"):
		return 0, fmt.Errorf("unknown unit %q", unit)
	}
	factor := int64(1)
	for range power {
		factor *= base
	}
	return factor, nil
}
