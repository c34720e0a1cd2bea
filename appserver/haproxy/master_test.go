package haproxy

import (
	"net/netip"
	"slices"
	"testing"
)

func TestAnswersOfHAProxyAreReadAsTheyAre(t *testing.T) {
	p, err := parseProcesses("#<PID>          <type>          <reloads>       <uptime>        <version>      \n" +
		"7391            master          2 [failed: 1]   0d00h00m03s     2.6.12-1+deb12u4\n# workers\n" +
		"7403            worker          1               0d00h00m02s     2.6.12-1+deb12u4\n# old workers\n" +
		"7001            worker          2               0d00h01m02s     2.6.12-1+deb12u4\n# programs\n\n")
	if err != nil || p.reloads != 2 || p.failed != 1 || !slices.Equal(p.workers, []string{"7403"}) || !slices.Equal(p.old, []string{"7001"}) {
		t.Errorf("%+v, %v", p, err)
	}
	peers := peersOf("# table: simroot_connections, type: string, size:1048576, used:2\n"+
		"0x5563e37820f8: key=AB12/127.0.0.1/43332 use=1 exp=58843 conn_cur=1\n"+
		"0x5563e37820f9: key=AB12/2001:db8::1/443 use=1 exp=58843 conn_cur=1\n"+
		"0x5563e37820fa: key=CD34/127.0.0.1/43333 use=1 exp=58843 conn_cur=1\n", func(print string) bool { return print == "AB12" })
	if len(peers) != 2 || !peers[netip.MustParseAddrPort("127.0.0.1:43332")] || !peers[netip.MustParseAddrPort("[2001:db8::1]:443")] {
		t.Errorf("%v", peers)
	}
	ids := sessionsOf("0x7f01: proto=tcpv4 src=127.0.0.1:43332 fe=simroot be=app srv=x\n"+
		"0x7f02: proto=tcpv6 src=2001:db8::1:443 fe=simroot be=app srv=x\n"+
		"0x7f03: proto=tcpv4 src=127.0.0.1:43333 fe=simroot be=app srv=x\n"+
		"0x7f04: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none>\n", peers)
	if !slices.Equal(ids, []string{"0x7f01", "0x7f02"}) {
		t.Errorf("%v", ids)
	}
}

// What HAProxy answers never stops the keeper, and never ends a session that it did not name.
func FuzzAnswersOfHAProxy(f *testing.F) {
	f.Add("# workers\n1 worker 0\n", "0x1: key=A/127.0.0.1/1 \n", "0x1: proto=tcpv4 src=127.0.0.1:1 fe=\n")
	f.Add("1 master 1 [failed: 1]\n", "key=//\n", "0x: src=:\n")
	f.Fuzz(func(t *testing.T, processes, table, sessions string) {
		if p, err := parseProcesses(processes); err == nil && len(p.workers) == 0 {
			t.Error("no workers and no error")
		}
		peers := peersOf(table, func(string) bool { return true })
		if ids := sessionsOf(sessions, peers); len(ids) > 0 && len(peers) == 0 {
			t.Errorf("sessions %q of nobody", ids)
		}
		fingerprintsIn(table)
	})
}
