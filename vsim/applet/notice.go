package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/perso"
)

// channels is a set of logical channels, one bit for each number.
type channels uint32

const allChannels channels = 1<<(apdu.MaxChannel+1) - 1

// administered carries out a device command on the objects that refs name, as remote
// administration has it: not at all while it is under way (6984); with its own status
// words, 63CF for success and 6989 for failure, the first time after it has ended.
func (a *Applet) administered(ch int, command func() apdu.Response, refs ...perso.Ref) apdu.Response {
	for _, ref := range refs {
		if a.running != nil && a.running.touched[ref] {
			return refuse(apdu.DataInvalidated)
		}
	}
	r := command()
	if !a.takeNotices(ch, refs) {
		return r
	}
	if r.SW == apdu.OK {
		r.SW = apdu.RemoteAdminDone
	} else {
		r.SW = apdu.RemoteAdminTouched
	}
	return r
}

// leaveNotices remembers that the first command on each of the objects has something to
// tell. Every channel is told once, since each may have a client of its own that keeps
// what it has read.
func (a *Applet) leaveNotices(touched map[perso.Ref]bool) {
	for ref := range touched {
		a.notices[ref] = allChannels
	}
}

func (a *Applet) takeNotices(ch int, refs []perso.Ref) (taken bool) {
	bit := channels(1) << ch
	for _, ref := range refs {
		if a.notices[ref]&bit == 0 {
			continue
		}
		taken = true
		if a.notices[ref] &^= bit; a.notices[ref] == 0 {
			delete(a.notices, ref)
		}
	}
	return taken
}
