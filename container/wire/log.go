package wire

// A node's log is a sequence of chunks, each as it was read from the command's output: a header of
// LogHeader bytes (the length of what follows in four bytes, Unix time in microseconds in eight,
// little endian), then that output.
const (
	LogHeader = 12
	LogChunk  = 32 << 10 // output in a chunk, at most
)

// PutLogHeader writes the header of a chunk to the beginning of b.
func PutLogHeader(b []byte, length int, micros uint64) {
	put32(b[:4], uint32(length))
	put32(b[4:8], uint32(micros))
	put32(b[8:LogHeader], uint32(micros>>32))
}

// ParseLogHeader reads the header of a chunk. ok is false where b does not begin with one: no chunk is
// empty or larger than LogChunk, and text is never taken for one, as its first four bytes are more.
func ParseLogHeader(b []byte) (length int, micros uint64, ok bool) {
	if len(b) < LogHeader {
		return 0, 0, false
	}
	n := get32(b[:4])
	return int(n), uint64(get32(b[4:8])) | uint64(get32(b[8:LogHeader]))<<32, n > 0 && n <= LogChunk
}
