package apdu

import "fmt"

// Response is what a card answers: data and a status word (ISO/IEC 7816-4, 5.1).
type Response struct {
	Data []byte
	SW   SW
}

// ParseResponse splits an answer into data and status word. Data aliases b.
func ParseResponse(b []byte) (Response, error) {
	if len(b) < 2 {
		return Response{}, fmt.Errorf("apdu: an answer of %d bytes: a status word has two", len(b))
	}
	n := len(b) - 2
	return Response{Data: b[:n:n], SW: SW(b[n])<<8 | SW(b[n+1])}, nil
}

// Bytes encodes the response as a card sends it.
func (r Response) Bytes() []byte {
	b := make([]byte, 0, len(r.Data)+2)
	b = append(b, r.Data...)
	return append(b, byte(r.SW>>8), byte(r.SW))
}
