package pcsc

import "math/bits"

// The types of pcsclite.h on Linux, where LONG and DWORD are the C long: as wide as a
// pointer, on 32-bit and on 64-bit machines.
type (
	long  = int
	dword = uintptr
)

// Values from pcsclite.h.
const (
	scopeSystem  dword = 2
	shareShared  dword = 2
	protocolT0   dword = 1
	protocolT1   dword = 2
	leaveCard    dword = 0
	stateUnaware dword = 0
	statePresent dword = 0x20
	stateAlone   dword = 0x80 // SCARD_STATE_EXCLUSIVE
	stateInUse   dword = 0x100
	stateMute    dword = 0x200
)

// readerState is SCARD_READERSTATE, not packed: 80 bytes on 64-bit Linux.
type readerState struct {
	name    *byte   // NUL-terminated
	_       uintptr // pvUserData
	current dword
	event   dword
	atrLen  dword
	atr     [33]byte // MAX_ATR_SIZE
}

// ioRequest is SCARD_IO_REQUEST.
type ioRequest struct {
	protocol dword
	length   dword
}

// ioRequestSize is sizeof(SCARD_IO_REQUEST).
const ioRequestSize = 2 * bits.UintSize / 8

// library holds the functions of winscard.h, with parameters in C's order.
type library struct {
	establishContext func(scope dword, reserved1, reserved2 uintptr, context *long) long
	releaseContext   func(context long) long
	listReaders      func(context long, groups uintptr, names *byte, length *dword) long
	getStatusChange  func(context long, timeoutMillis dword, states *readerState, count dword) long
	connect          func(context long, reader *byte, share, protocols dword, card *long, protocol *dword) long
	reconnect        func(card long, share, protocols, initialization dword, protocol *dword) long
	disconnect       func(card long, disposition dword) long
	beginTransaction func(card long) long
	endTransaction   func(card long, disposition dword) long
	transmit         func(card long, request *ioRequest, command *byte, length dword, received *ioRequest, answer *byte, answerLength *dword) long
}
