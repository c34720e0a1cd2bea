package uicc

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/tlv"
)

// file is an elementary file under the MF (ETSI TS 102 221, 8.2).
type file struct {
	id         uint16
	sfi        byte
	content    []byte
	recordSize int // 0: transparent
}

// mf is the identifier of the master file.
const mf uint16 = 0x3F00

// noCurrentFile says that no elementary file is selected.
const noCurrentFile apdu.SW = 0x6986

// fileSystem is the MF and its elementary files.
type fileSystem []*file

func newFileSystem(iccid card.ICCID, directory []Entry) fileSystem {
	number := iccid.File()
	return fileSystem{
		newDirectory(directory),
		{id: 0x2FE2, sfi: 0x02, content: number[:]},
	}
}

// newDirectory is EF.DIR (ETSI TS 102 221, 13.1): one record for each application, all as
// long as the longest.
func newDirectory(entries []Entry) *file {
	const smallest = 0x26 // as real cards have it
	f := &file{id: 0x2F00, sfi: 0x1E, recordSize: smallest}
	var records [][]byte
	for _, e := range entries {
		b := tlv.Append(nil, 0x4F, e.AID...)
		b = tlv.Append(b, 0x50, []byte(e.Label)...)
		record := tlv.Append(nil, 0x61, b...)
		f.recordSize = max(f.recordSize, len(record))
		records = append(records, record)
	}
	if len(records) == 0 {
		records = append(records, nil)
	}
	for _, record := range records {
		for len(record) < f.recordSize {
			record = append(record, 0xFF)
		}
		f.content = append(f.content, record...)
	}
	return f
}

func (f *file) records() int { return len(f.content) / f.recordSize }

func (fs fileSystem) byID(id uint16) *file {
	for _, f := range fs {
		if f.id == id {
			return f
		}
	}
	return nil
}

func (fs fileSystem) bySFI(sfi byte) *file {
	for _, f := range fs {
		if f.sfi == sfi {
			return f
		}
	}
	return nil
}

// find is the file that SELECT names; nil with success is the MF.
func (fs fileSystem) find(p1 byte, data []byte) (*file, apdu.SW) {
	var last []byte
	switch p1 {
	case byFileID:
		if len(data) == 0 {
			return nil, apdu.OK
		}
		if len(data) != 2 {
			return nil, apdu.WrongLength
		}
		last = data
	case byPath, byPathFromDF: // the MF is the only directory
		if len(data) == 4 && uint16(data[0])<<8|uint16(data[1]) == mf {
			data = data[2:]
		}
		if len(data) != 2 {
			return nil, apdu.NotFound
		}
		last = data
	default:
		return nil, apdu.WrongP1P2
	}
	id := uint16(last[0])<<8 | uint16(last[1])
	if id == mf {
		return nil, apdu.OK
	}
	if f := fs.byID(id); f != nil {
		return f, apdu.OK
	}
	return nil, apdu.NotFound
}

// process answers what is read from files on a channel where no application is selected.
func (fs fileSystem) process(ch *channel, c apdu.Command) apdu.Response {
	if apdu.Secured(c.CLA) {
		return refuse(apdu.SecureMessagingNot)
	}
	switch c.INS {
	case insReadBinary, insReadRecord:
		if !interindustry(c.CLA) {
			return refuse(apdu.ClassNot)
		}
		if len(c.Data) > 0 {
			return refuse(apdu.WrongLength)
		}
		if c.INS == insReadBinary {
			return fs.readBinary(ch, c)
		}
		return fs.readRecord(ch, c)
	case insStatus:
		if interindustry(c.CLA) {
			return refuse(apdu.ClassNot)
		}
		return status(c)
	}
	return refuse(apdu.InstructionNot)
}

// readBinary is READ BINARY (ETSI TS 102 221, 11.1.3).
func (fs fileSystem) readBinary(ch *channel, c apdu.Command) apdu.Response {
	offset := int(c.P1)<<8 | int(c.P2)
	f := ch.file
	if c.P1&0x80 != 0 { // by short file identifier
		if c.P1&0x60 != 0 {
			return refuse(apdu.WrongP1P2)
		}
		if f = fs.bySFI(c.P1 & 0x1F); f == nil {
			return refuse(apdu.NotFound)
		}
		ch.file, offset = f, int(c.P2)
	}
	switch {
	case f == nil:
		return refuse(noCurrentFile)
	case f.recordSize > 0:
		return refuse(apdu.Incompatible)
	case offset > len(f.content):
		return refuse(apdu.WrongOffset)
	}
	return apdu.Response{Data: f.content[offset:], SW: apdu.OK}
}

// readRecord is READ RECORD in absolute mode (ETSI TS 102 221, 11.1.5).
func (fs fileSystem) readRecord(ch *channel, c apdu.Command) apdu.Response {
	const absolute = 0x04
	if c.P2&0x07 != absolute {
		return refuse(apdu.WrongP1P2)
	}
	f := ch.file
	if sfi := c.P2 >> 3; sfi != 0 {
		if f = fs.bySFI(sfi); f == nil {
			return refuse(apdu.NotFound)
		}
		ch.file = f
	}
	switch {
	case f == nil:
		return refuse(noCurrentFile)
	case f.recordSize == 0:
		return refuse(apdu.Incompatible)
	case c.P1 == 0 || int(c.P1) > f.records():
		return refuse(apdu.RecordNotFound)
	}
	start := (int(c.P1) - 1) * f.recordSize
	return apdu.Response{Data: f.content[start : start+f.recordSize], SW: apdu.OK}
}

// status is STATUS (ETSI TS 102 221, 11.1.2): the control parameters of the MF.
func status(c apdu.Command) apdu.Response {
	switch {
	case len(c.Data) > 0:
		return refuse(apdu.WrongLength)
	case c.P1 > 2:
		return refuse(apdu.WrongP1P2)
	case c.P2 == wantNothing:
		return refuse(apdu.OK)
	case c.P2 == 0:
		return apdu.Response{Data: fcp(nil), SW: apdu.OK}
	}
	return refuse(apdu.WrongP1P2)
}

// masterParameters are the control parameters of the MF: directory, activated, access
// rule 1 of EF.ARR, PIN 1 and universal PIN not used.
var masterParameters = unhex("622682027821" + "83023F00" + "A503800171" + "8A0105" + "8B032F0601" +
	"C609900160830101830181" + "81040000FFFF")

// fcp are the file control parameters of a file (ETSI TS 102 221, 11.1.1.3); nil is the MF.
func fcp(f *file) []byte {
	if f == nil {
		return masterParameters
	}
	descriptor := []byte{0x41, 0x21}
	if f.recordSize > 0 {
		descriptor = []byte{0x42, 0x21, byte(f.recordSize >> 8), byte(f.recordSize), byte(f.records())}
	}
	b := tlv.Append(nil, 0x82, descriptor...)
	b = tlv.Append(b, 0x83, byte(f.id>>8), byte(f.id))
	b = tlv.Append(b, 0x8A, 0x05)
	b = tlv.Append(b, 0x8B, 0x2F, 0x06, 0x01)
	b = tlv.Append(b, 0x80, byte(len(f.content)>>8), byte(len(f.content)))
	b = tlv.Append(b, 0x88, f.sfi<<3)
	return tlv.Append(nil, 0x62, b...)
}
