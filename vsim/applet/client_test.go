package applet_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/domain"
)

var _ domain.Personalized = (*applet.Applet)(nil)

func TestTheClientUsesEverythingThatTheAppletOffers(t *testing.T) {
	s := fieldSIM(t)
	c := s.client()
	ctx := t.Context()

	i, err := c.Info(ctx)
	if err != nil || i.TypeII() || i.Identifier != s.applet.State().Identifier || i.MaxSessions != applet.MaxSessions {
		t.Fatalf("%+v, %v", i, err)
	}
	objects, err := c.Objects(ctx)
	if err != nil || len(objects) != 8 {
		t.Fatalf("%+v, %v", objects, err)
	}
	for _, o := range objects {
		if got, err := c.Object(ctx, o.Kind, o.ID); err != nil || got != o {
			t.Fatalf("%+v, %v; the list says %+v", got, err, o)
		}
	}
	for _, size := range []int{0, 600, 300} {
		b, err := c.ReadFile(ctx, "\x02", size)
		want := size
		if size == 0 {
			want = 600
		}
		if err != nil || len(b) != want {
			t.Fatalf("%d bytes of %d: %v", len(b), want, err)
		}
	}
	if b, err := c.Random(ctx, 300); err != nil || len(b) != 300 {
		t.Fatal(err)
	}
	pair, err := c.GenerateKeyPair(ctx, "\x04")
	if err != nil || pair.Private != "\x04" || pair.Public != "\x05" {
		t.Fatalf("%+v, %v", pair, err)
	}
	if key, err := c.PublicKey(ctx, pair.Public); err != nil || !key.Equal(pair.Key) {
		t.Fatal(err)
	}
}

func TestSignaturesOfTheSIMVerifyForEveryHash(t *testing.T) {
	s := fieldSIM(t)
	c := s.client()
	key, err := c.PublicKey(t.Context(), "007")
	if err != nil {
		t.Fatal(err)
	}
	signer := c.Signer(t.Context(), "006", key)
	d256, d384, d512 := sha256.Sum256([]byte("x")), sha512.Sum384([]byte("x")), sha512.Sum512([]byte("x"))
	for hash, digest := range map[crypto.Hash][]byte{crypto.SHA256: d256[:], crypto.SHA384: d384[:], crypto.SHA512: d512[:]} {
		der, err := signer.Sign(rand.Reader, digest, hash)
		if err != nil || !ecdsa.VerifyASN1(key, digest, der) {
			t.Fatalf("%s: %v", hash, err)
		}
	}
}

func TestASignatureIsExactlyTwoCommandsInProcess(t *testing.T) {
	s := fieldSIM(t)
	c := s.client()
	before := s.sent
	if _, err := c.Sign(t.Context(), "\x01", make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if n := s.sent - before; n != 2 {
		t.Fatalf("%d commands", n)
	}
}

func TestLeadingZerosOfSignaturesAreKept(t *testing.T) {
	s := fieldSIM(t)
	c := s.client()
	key, err := c.PublicKey(t.Context(), "\x01")
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("fixed width"))
	for range 4000 { // one in 128 has a zero in front of r or s
		raw, err := c.Sign(t.Context(), "\x01", digest[:])
		if err != nil || len(raw) != 64 {
			t.Fatalf("%d bytes, %v", len(raw), err)
		}
		if raw[0] != 0 && raw[32] != 0 {
			continue
		}
		if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
			t.Fatalf("% X does not verify", raw)
		}
		return
	}
	t.Fatal("no signature with a leading zero came up")
}

func TestOneAppletServesManyGoroutines(t *testing.T) {
	s := fieldSIM(t)
	c, other := s.client(), s.client()
	key, err := c.PublicKey(t.Context(), "\x01")
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			signer := []*iotsafe.Applet{c, other}[i%2].Signer(t.Context(), "\x01", key)
			for range 10 {
				der, err := signer.Sign(nil, digest[:], crypto.SHA256)
				if err != nil || !ecdsa.VerifyASN1(key, digest[:], der) {
					t.Errorf("%v", err)
				}
				if _, err := c.Random(t.Context(), 200); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestTheClientLearnsOfRemoteAdministration(t *testing.T) {
	s := fieldSIM(t)
	c := s.client()
	key, err := c.PublicKey(t.Context(), "\x01")
	if err != nil {
		t.Fatal(err)
	}
	signer := c.Signer(t.Context(), "\x01", key)
	digest := sha256.Sum256(nil)
	if _, err := signer.Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	generation := c.Generation()
	s.personalize(keyPair("\x01", "\x01")...)
	if _, err := signer.Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, iotsafe.ErrKeyChanged) || !iotsafe.Changed(err) {
		t.Fatal(err)
	}
	if c.Generation() == generation {
		t.Fatal("the generation has not risen")
	}
	if key, err = c.PublicKey(t.Context(), "\x01"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Signer(t.Context(), "\x01", key).Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}

	s.personalize(perso.Deactivate{Refs: []perso.Ref{ref(iotsafe.PrivateKey, "\x01")}})
	if _, err := c.Sign(t.Context(), "\x01", digest[:]); !errors.Is(err, apdu.RemoteAdminTouched) || !iotsafe.Changed(err) {
		t.Fatal(err)
	}
	if _, err := c.Sign(t.Context(), "\x01", digest[:]); !errors.Is(err, apdu.ConditionsNot) || iotsafe.Changed(err) {
		t.Fatal(err)
	}
}

func TestAResetIsAnErrorThatSaysWhatToDo(t *testing.T) {
	s := fieldSIM(t)
	c := s.client()
	s.uicc.Reset()
	if _, err := c.Random(t.Context(), 8); !errors.Is(err, apdu.ChannelNotSupported) {
		t.Fatal(err)
	}
}

func TestTLSHandshakesWithAKeyInTheSIM(t *testing.T) {
	s := fieldSIM(t)
	c := s.client()
	key, err := c.PublicKey(t.Context(), "\x01")
	if err != nil {
		t.Fatal(err)
	}
	signer := c.Signer(t.Context(), "\x01", key)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{SerialNumber: string(testICCID)}, DNSNames: []string{"sim"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	own := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}

	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			near, far := net.Pipe()
			server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{serverCertificate(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots})
			client := tls.Client(near, &tls.Config{Certificates: []tls.Certificate{own}, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			before := s.sent
			failed := make(chan error, 1)
			go func() {
				_, err := server.Write([]byte("hello")) // after the handshake
				failed <- err
			}()
			if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
			if n := s.sent - before; n != 2 {
				t.Fatalf("%d commands for a handshake", n)
			}
			near.Close()
			far.Close()
		})
	}
}

// serverCertificate is that of a server whose identity does not matter.
func serverCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestAStateSurvivesItsImageWhateverItsLabels(t *testing.T) {
	odd := file("\x02", string([]byte{0xFF, 0x00, 0xC3, 0x28}), 10)
	state, err := applet.NewState(1, odd, secret("\xFE\x00"), privateKey("\x01", ""))
	if err != nil {
		t.Fatal(err)
	}
	state.Objects[0].Content = []byte{1, 2, 3}
	var back applet.State
	if err := json.Unmarshal(encode(t, state), &back); err != nil || !reflect.DeepEqual(back, state) {
		t.Fatalf("%v became %v: %v", state, back, err)
	}
	for _, bad := range []string{`{"Objects":[{}]}`, `{"Objects":[{"description":"xwE="}]}`, `{"Objects":[1]}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
