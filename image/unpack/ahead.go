package unpack

import "io"

// What is read ahead: enough for the reader and the one behind it to work at the same time. Of 20 MB in one layer of gzip, 133 to 148 ms
// in place of 174 to 188 on two processors.
const (
	aheadPiece  = 256 << 10
	aheadPieces = 4
)

// ahead reads from r while what it has read is being worked on: decompressing a layer takes as long as hashing and writing it
// do, and an image may have but one.
type ahead struct {
	full  chan piece
	empty chan []byte
	stop  chan struct{}
	done  chan struct{}
	now   piece
	rest  []byte // of now
}

type piece struct {
	b   []byte // of an empty one's buffer
	err error  // behind it
}

// readAhead begins to read. Close ends that, and waits for a Read of r that is under way.
func readAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan piece, aheadPieces), empty: make(chan []byte, aheadPieces), stop: make(chan struct{}), done: make(chan struct{})}
	for range aheadPieces {
		a.empty <- make([]byte, aheadPiece)
	}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.done)
	for {
		select {
		case <-a.stop:
			return
		case b := <-a.empty:
			n := 0
			var err error
			for n < len(b) && err == nil {
				var m int
				m, err = r.Read(b[n:])
				n += m
			}
			a.full <- piece{b[:n], err} // there is room: there are no more pieces than that
			if err != nil {
				return
			}
		}
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.b != nil {
			a.empty <- a.now.b[:cap(a.now.b)]
		}
		a.now = <-a.full
		a.rest = a.now.b
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close is called once.
func (a *ahead) Close() {
	close(a.stop)
	<-a.done
}
