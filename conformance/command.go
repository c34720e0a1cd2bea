package conformance

import (
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// Instructions.
const (
	insPutInit       byte = 0x24
	insSignInit      byte = 0x2A
	insSignUpdate    byte = 0x2B
	insVerifyInit    byte = 0x2C
	insVerifyUpdate  byte = 0x2D
	insDH            byte = 0x46
	insPRF           byte = 0x48
	insHKDF          byte = 0x4A
	insManageChannel byte = 0x70
	insGetRandom     byte = 0x84
	insSelect        byte = 0xA4
	insReadFile      byte = 0xB0
	insGenerate      byte = 0xB9
	insGetResponse   byte = 0xC0
	insGetData       byte = 0xCB
	insReadPublicKey byte = 0xCD
	insPutUpdate     byte = 0xD8
)

// names are what people call the instructions.
var names = map[byte]string{
	insPutInit: "PUT PUBLIC KEY INIT", insPutUpdate: "PUT PUBLIC KEY UPDATE",
	insSignInit: "COMPUTE SIGNATURE INIT", insSignUpdate: "COMPUTE SIGNATURE UPDATE",
	insVerifyInit: "VERIFY SIGNATURE INIT", insVerifyUpdate: "VERIFY SIGNATURE UPDATE",
	insDH: "COMPUTE DH", insPRF: "COMPUTE PRF", insHKDF: "COMPUTE HKDF",
	insManageChannel: "MANAGE CHANNEL", insGetRandom: "GET RANDOM", insSelect: "SELECT",
	insReadFile: "READ FILE", insGenerate: "GENERATE KEY PAIR", insGetResponse: "GET RESPONSE",
	insGetData: "GET DATA", insReadPublicKey: "READ PUBLIC KEY",
}

// P1 of INIT and UPDATE.
const (
	p1Open  byte = 0x00
	p1Close byte = 0x01
	p1More  byte = 0x00
	p1Last  byte = 0x80
)

// message is a command under construction.
type message apdu.Command

// command begins a command without data; the fields of its data are concatenated.
func command(ins, p1, p2 byte, fields ...[]byte) message {
	m := message{INS: ins, P1: p1, P2: p2}
	for _, f := range fields {
		m.Data = append(m.Data, f...)
	}
	return m
}

// le is the command with the given Le, 1 to 256.
func (m message) le(n int) message { m.Le = n; return m }

// class is the command in the given class.
func (m message) class(cla byte) message { m.CLA = cla; return m }

func (m message) name() string {
	name, ok := names[m.INS]
	if !ok {
		name = fmt.Sprintf("INS %02X", m.INS)
	}
	if m.P1 != 0 || m.P2 != 0 {
		name += fmt.Sprintf(" (P1 %02X, P2 %02X)", m.P1, m.P2)
	}
	return name
}

// bytes encodes the command on the session's channel.
func (s *Session) bytes(m message) []byte {
	b, err := apdu.Command(m.class(apdu.OnChannel(0x80, s.channel))).Bytes()
	return must(b, err)
}

// field is one tag with a length of one byte. A value over 255 bytes does not fit a
// command anyway and is cut.
func field(tag byte, value ...byte) []byte {
	value = value[:min(len(value), 255)]
	return append([]byte{tag, byte(len(value))}, value...)
}

// id is the field that names an object by its identifier.
func id(o iotsafe.Object) []byte { return field(o.Kind.IDTag(), []byte(o.ID)...) }

// label is the field that names an object by its label.
func label(o iotsafe.Object) []byte { return field(o.Kind.LabelTag(), []byte(o.Label)...) }

func selectCommand(aid []byte) message {
	m := command(insSelect, 0x04, 0x00, aid)
	return m
}

// selectBy is SELECT on the session's channel.
func (s *Session) selectBy(aid []byte) message {
	return selectCommand(aid).class(apdu.OnChannel(0, s.channel))
}

func getData(kind iotsafe.Kind, name []byte) message {
	return command(insGetData, byte(kind), 0, name)
}

func readFile(offset int, name []byte) message {
	return command(insReadFile, byte(offset>>8), byte(offset), name)
}
