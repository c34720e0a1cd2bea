package terminator

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

func proxyReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

// toldOf holds a header, as the judge reads it, to what there is to tell of a device.
func toldOf(t *testing.T, s *scene, header *proxyproto.Header, d device, version string) {
	t.Helper()
	values, err := header.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	got := map[proxyproto.PP2Type]string{}
	for _, v := range values {
		got[v.Type] = string(v.Value)
	}
	if got[TypeICCID] != d.iccid || got[TypeFleet] != "meters" || got[TypeCredential] != d.credential {
		t.Errorf("told of SIM %q, fleet %q, credential %q", got[TypeICCID], got[TypeFleet], got[TypeCredential])
	}
	ssl, ok := tlvparse.FindSSL(values)
	if !ok {
		t.Fatal("nothing is told of TLS")
	}
	name, named := ssl.ClientCN()
	certificate := s.way.Kind.Certificates()
	if !ssl.ClientSSL() || ssl.ClientCertConn() != certificate || ssl.Verified() != certificate || named != certificate || certificate && name != d.iccid {
		t.Errorf("client: TLS %v, certificate %v, verified %v, name %q", ssl.ClientSSL(), ssl.ClientCertConn(), ssl.Verified(), name)
	}
	if v, _ := ssl.SSLVersion(); v != version {
		t.Errorf("version %q, want %q", v, version)
	}
	if c, _ := ssl.SSLCipher(); c == "" {
		t.Error("no cipher suite")
	}
}

func TestStreamsTellWhoSpeaks(t *testing.T) {
	for _, kind := range streams {
		t.Run(string(kind), func(t *testing.T) {
			behind := listenPlain(t)
			s := terminate(t, kind, ProxyV2, behind.address(), Options{})
			d := s.device(1)
			device := s.connect(d)
			say(t, device, "hello")
			server := behind.accept()
			reader := proxyReader(server)
			header, err := proxyproto.Read(reader)
			if err != nil {
				t.Fatal(err)
			}
			if header.TransportProtocol != proxyproto.TCPv4 || header.SourceAddr.String() != device.LocalAddr().String() || header.DestinationAddr.String() != s.way.Listen {
				t.Errorf("%v from %v to %v", header.TransportProtocol, header.SourceAddr, header.DestinationAddr)
			}
			toldOf(t, s, header, d, "TLSv1.3")
			if kind == TLSPSK {
				values, _ := header.TLVs()
				if values[0].Type != proxyproto.PP2_TYPE_AUTHORITY || string(values[0].Value) != "meters.example" {
					t.Errorf("authority: %v", values[0])
				}
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(reader, got); err != nil || string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestAddressesOfBothFamiliesAreTold(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, c := range []struct {
		from, to net.Addr
		family   byte
		length   int
	}{
		{tcp("192.0.2.1:1"), tcp("192.0.2.2:2"), 1, 12},
		{tcp("192.0.2.1:1"), tcp("[::]:2"), 1, 12},
		{tcp("192.0.2.1:1"), tcp("[2001:db8::1]:2"), 2, 36},
		{tcp("[2001:db8::1]:1"), tcp("[2001:db8::2]:2"), 2, 36},
		{tcp("[2001:db8::1]:1"), tcp("192.0.2.1:2"), 2, 36},
		{&net.UnixAddr{Name: "x"}, tcp("192.0.2.1:2"), 2, 36},
	} {
		if family, b := proxyAddresses(c.from, c.to); family != c.family || len(b) != c.length {
			t.Errorf("%v to %v: family %d, %d bytes", c.from, c.to, family, len(b))
		}
	}
}
