package topology

import (
	"fmt"
	"strings"
	"testing"
)

// star is a lab of n nodes on bridges of at most 1,000 ports.
func star(n int) []byte {
	var b strings.Builder
	b.WriteString("name: star\nbridges:\n")
	for i := 0; i <= (n-1)/1000; i++ {
		fmt.Fprintf(&b, "  lan%d: {address: [10.%d.0.1/16, \"fd00:%x::1/64\"]}\n", i, i, i)
	}
	b.WriteString("nodes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  node%05d: {image: host, hostname: h%05d}\n", i, i)
	}
	b.WriteString("links:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - endpoints: [\"node%05d:eth0\", \"lan%d\"]\n", i, i/1000)
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data := star(n)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Parse("lab.yaml", data, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
