package wire

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k, n := Kind(rapid.Uint32().Draw(t, "kind")), int(rapid.Uint32().Draw(t, "size"))
		var h [HeaderSize]byte
		PutHeader(&h, k, n)
		if gotK, gotN := Header(&h); gotK != k || gotN != n {
			t.Fatalf("kind %d, size %d became %d, %d", k, n, gotK, gotN)
		}
	})
	// Little endian, as the package says: two builds of nsnet must agree.
	var h [HeaderSize]byte
	PutHeader(&h, 0x05060708, 0x01020304)
	if want := [HeaderSize]byte{4, 3, 2, 1, 8, 7, 6, 5}; h != want {
		t.Errorf("header is % x, not % x", h, want)
	}
}

func TestFieldsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOf(rapid.Uint64()).Draw(t, "numbers")
		lists := rapid.SliceOf(rapid.SliceOf(anyString())).Draw(t, "lists")
		var w Writer
		for _, n := range numbers {
			w.Uint(n)
		}
		for _, l := range lists {
			w.Strings(l)
		}
		r := NewReader(w.Bytes())
		for _, n := range numbers {
			if got := r.Uint(); got != n {
				t.Fatalf("%d became %d", n, got)
			}
		}
		for _, l := range lists {
			if got := r.Strings(); !slices.Equal(got, l) {
				t.Fatalf("%q became %q", l, got)
			}
		}
		if r.Bad || r.More() {
			t.Fatalf("after the last field: bad %v, more %v", r.Bad, r.More())
		}
	})
}

func TestBodiesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := Command{
			Argv: rapid.SliceOf(anyString()).Draw(t, "argv"), Env: rapid.SliceOf(anyString()).Draw(t, "env"),
			Workdir: anyString().Draw(t, "workdir"), User: anyString().Draw(t, "user"), TTY: rapid.Bool().Draw(t, "tty"),
			Streams: Streams(rapid.Uint8Range(0, 7).Draw(t, "streams")),
			Rows:    rapid.Uint16().Draw(t, "rows"), Columns: rapid.Uint16().Draw(t, "columns"),
		}
		f := Failure{Step: rapid.IntMin(0).Draw(t, "step"), Errno: rapid.Uint32().Draw(t, "errno"), Text: anyString().Draw(t, "text")}
		var w Writer
		c.Encode(&w)
		f.Encode(&w)
		r := NewReader(w.Bytes())
		got := DecodeCommand(r)
		if !slices.Equal(got.Argv, c.Argv) || !slices.Equal(got.Env, c.Env) || got.Workdir != c.Workdir || got.User != c.User || got.Streams != c.Streams ||
			got.TTY != c.TTY || got.Rows != c.Rows || got.Columns != c.Columns {
			t.Fatalf("%+v became %+v", c, got)
		}
		if got := DecodeFailure(r); got != f {
			t.Fatalf("%+v became %+v", f, got)
		}
		if r.Bad || r.More() {
			t.Fatalf("after the last field: bad %v, more %v", r.Bad, r.More())
		}
	})
}

func TestProgramRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Step {
			return Step{
				Op: Op(rapid.Uint64().Draw(t, "op")), Label: anyString().Draw(t, "label"),
				Text: rapid.SliceOf(anyString()).Draw(t, "text"), Number: rapid.SliceOf(rapid.Uint64()).Draw(t, "numbers"),
			}
		})).Draw(t, "steps")
		var w Writer
		Encode(&w, steps)
		r := NewReader(w.Bytes())
		for i := range steps {
			if !r.More() {
				t.Fatalf("%d of %d steps", i, len(steps))
			}
			got := DecodeStep(r)
			if got.Op != steps[i].Op || !slices.Equal(got.Text, steps[i].Text) || !slices.Equal(got.Number, steps[i].Number) {
				t.Fatalf("%+v became %+v", steps[i], got)
			}
			if got.Label != "" {
				t.Fatalf("the label %q was sent", got.Label)
			}
		}
		if r.Bad || r.More() {
			t.Fatalf("after the last step: bad %v, more %v", r.Bad, r.More())
		}
	})
}

func TestStepFieldsThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := Step{Text: []string{"a"}, Number: []uint64{7}}
	if s.T(0) != "a" || s.T(1) != "" || s.N(0) != 7 || s.N(1) != 0 {
		t.Errorf("fields of %+v: %q %q %d %d", s, s.T(0), s.T(1), s.N(0), s.N(1))
	}
}

// What is cut short is bad, at once and for good, and never something else that is whole.
func TestTruncatedIsBad(t *testing.T) {
	t.Parallel()
	c := Command{Argv: []string{"ip", "link"}, Env: []string{"A=1"}, Workdir: "/", User: "root", TTY: true}
	var w Writer
	c.Encode(&w)
	whole := w.Bytes()
	for n := range whole {
		r := NewReader(whole[:n])
		DecodeCommand(r)
		if !r.Bad {
			t.Errorf("the first %d of %d bytes are taken for all", n, len(whole))
		}
		if r.More() || r.Uint() != 0 || r.String() != "" || r.Strings() != nil || !r.Bad {
			t.Errorf("after %d of %d bytes there is more", n, len(whole))
		}
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	var huge Writer
	huge.Uint(math.MaxUint64)
	for name, b := range map[string][]byte{
		"nothing":                  {},
		"an unfinished number":     {0x80},
		"a number without end":     slices.Repeat([]byte{0xff}, 20),
		"a length beyond the body": huge.Bytes(),
	} {
		for kind, read := range map[string]func(*Reader){
			"string":  func(r *Reader) { _ = r.String() },
			"strings": func(r *Reader) { r.Strings() },
			"step":    func(r *Reader) { DecodeStep(r) },
		} {
			r := NewReader(b)
			if read(r); !r.Bad || r.More() {
				t.Errorf("%s as %s: bad %v, more %v", name, kind, r.Bad, r.More())
			}
		}
	}
}

// A node's root may say anything to whoever listens: no bytes may end the reader, or make
// it take more memory than they have themselves.
func FuzzReader(f *testing.F) {
	var w Writer
	c := Command{Argv: []string{"sh"}, Env: []string{"A=1"}}
	c.Encode(&w)
	(&Failure{Step: 3, Errno: 2, Text: "x"}).Encode(&w)
	Encode(&w, []Step{{Op: OpMount, Text: []string{"proc", "/proc"}, Number: []uint64{6}}})
	f.Add(w.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	// Each by itself, as they are sent.
	for _, encode := range []func(*Writer){
		(&Command{Argv: []string{"vtysh", "-c", "show ip route"}, Env: []string{"PATH=/bin", "TERM=xterm"}, Workdir: "/srv", User: "frr:frr", TTY: true, Rows: 24, Columns: 80}).Encode,
		(&Command{Argv: []string{"cat"}, Streams: InputPipe | OutputPipes | OneOutput}).Encode,
		(&Failure{Step: 2, Errno: 20, Text: "/etc/hosts"}).Encode,
		(&Server{Argv: []string{"/bin/mergerfs", "/b0=RW", "/union"}, Env: []string{"PATH=/bin"}, Hide: ".mergerfs", Cover: "/empty", Caps: 0xdb, Filter: "\x06\x00"}).Encode,
		func(w *Writer) {
			Encode(w, []Step{{Op: OpMkdir, Label: "create /n/root", Text: []string{"/n/root"}, Number: []uint64{0o755}}, {Op: OpAttachIn, Label: "bind", Text: []string{"/srv/x"}, Number: []uint64{2, 1}},
				{Op: OpPrivileges, Label: "drop privileges", Text: []string{"\x20\x00"}, Number: []uint64{0xa80425fb, 1}}})
		},
	} {
		var w Writer
		encode(&w)
		f.Add(w.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		DecodeCommand(NewReader(b))
		DecodeServer(NewReader(b))
		DecodeFailure(NewReader(b))
		r := NewReader(b)
		for n := 0; r.More(); n++ {
			s := DecodeStep(r)
			if n > len(b) || len(s.Text) > len(b) || len(s.Number) > len(b) {
				t.Fatalf("%d bytes gave step %d with %d strings and %d numbers", len(b), n, len(s.Text), len(s.Number))
			}
		}
	})
}

// anyString is a string of any bytes, long ones included.
func anyString() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes"))
	})
}
