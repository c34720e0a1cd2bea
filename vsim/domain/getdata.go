package domain

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/tlv"
)

// Tags of GET DATA (GPCS 2.3.1, H.2 to H.4; Amendment D, 7.1.3).
const (
	tagCardImageNumber tlv.Tag = 0x45
	tagCardData        tlv.Tag = 0x66
	tagSequenceCounter tlv.Tag = 0xC1
	tagKeyInformation  tlv.Tag = 0xE0
)

// cardData is the card recognition data: GlobalPlatform 2.3.1, SCP03 with i=70.
var cardData = []byte("\x73\x2F\x06\x07\x2A\x86\x48\x86\xFC\x6B\x01" +
	"\x60\x0C\x06\x0A\x2A\x86\x48\x86\xFC\x6B\x02\x02\x03\x01" +
	"\x63\x09\x06\x07\x2A\x86\x48\x86\xFC\x6B\x03" +
	"\x64\x0B\x06\x09\x2A\x86\x48\x86\xFC\x6B\x04\x03\x70")

// getData is GET DATA (GPCS 2.3.1, 11.3). All it tells is public.
func (d *Domain) getData(c apdu.Command) apdu.Response {
	if len(c.Data) > 0 {
		return refuse(apdu.WrongLength)
	}
	s := d.state
	var value []byte
	tag := tlv.Tag(c.P1)<<8 | tlv.Tag(c.P2)
	switch tag {
	case tagCardImageNumber:
		value = d.iccid[:]
	case tagCardData:
		value = cardData
	case tagSequenceCounter:
		n := s.SequenceCounter
		value = []byte{byte(n >> 16), byte(n >> 8), byte(n)}
	case tagKeyInformation:
		const aes = 0x88
		for id := byte(1); id <= 3; id++ {
			value = tlv.Append(value, 0xC0, id, s.KeyVersion, aes, byte(len(s.Keys.ENC)))
		}
	default:
		return refuse(apdu.ReferenceNotFound)
	}
	return apdu.Response{Data: tlv.Append(nil, tag, value...), SW: apdu.OK}
}

// controlInformation is the answer to SELECT: the AID and the most command data taken
// (GPCS 2.3.1, 11.9.3.1).
func controlInformation(aid []byte) []byte {
	b := tlv.Append(nil, 0x84, aid...)
	b = tlv.Append(b, 0xA5, tlv.Append(nil, 0x9F65, 0xFF)...)
	return tlv.Append(nil, 0x6F, b...)
}
