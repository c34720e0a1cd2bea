package psk

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/simroot/simroot/psktls"
)

var writePage = flag.Bool("write", false, "write the matrix into docs/psktls.md")

// mbedtlsSuites are ours that mbed TLS 2.28 offers, by its names: nothing of TLS 1.3, and of ECDHE_PSK no AES-GCM
// and no AES-CCM. Its connection ids are those of a draft (draft-ietf-tls-dtls-connection-id-05), which differ
// from RFC 9146 in the extension's number and in the additional data, so that they are not tried.
var mbedtlsSuites = []peerSuite{
	{psktls.TLS_PSK_WITH_AES_128_GCM_SHA256, "TLS-PSK-WITH-AES-128-GCM-SHA256"},
	{psktls.TLS_PSK_WITH_AES_256_GCM_SHA384, "TLS-PSK-WITH-AES-256-GCM-SHA384"},
	{psktls.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, "TLS-PSK-WITH-CHACHA20-POLY1305-SHA256"},
	{psktls.TLS_PSK_WITH_AES_128_CCM, "TLS-PSK-WITH-AES-128-CCM"},
	{psktls.TLS_PSK_WITH_AES_128_CCM_8, "TLS-PSK-WITH-AES-128-CCM-8"},
	{psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"},
}

// A matrixRow is a peer over one protocol: the suites, and the tests with us as client and as server.
type matrixRow struct {
	peer, protocol string
	suites         []peerSuite
	client, server string
}

func matrix() []matrixRow {
	tls12 := func(s peerSuite) bool { return s.id>>8 != 0x13 }
	tls13 := func(s peerSuite) bool { return s.id>>8 == 0x13 }
	only := func(suites []peerSuite, is func(peerSuite) bool) []peerSuite {
		return slices.DeleteFunc(slices.Clone(suites), func(s peerSuite) bool { return !is(s) })
	}
	return []matrixRow{
		{"OpenSSL 3.0", "TLS 1.2", only(opensslSuites, tls12), "TestOpenSSLServer", "TestOpenSSLClient"},
		{"OpenSSL 3.0", "TLS 1.3", only(opensslSuites, tls13), "TestOpenSSLServer", "TestOpenSSLClient"},
		{"OpenSSL 3.0", "DTLS 1.2", datagramSuites(), "TestOpenSSLServerOverDatagrams", "TestOpenSSLClientOverDatagrams"},
		{"GnuTLS 3.7", "TLS 1.2", only(gnutlsSuites, tls12), "TestGnuTLSServer", "TestGnuTLSClient"},
		{"GnuTLS 3.7", "TLS 1.3", only(gnutlsSuites, tls13), "TestGnuTLSServer", "TestGnuTLSClient"},
		{"GnuTLS 3.7", "DTLS 1.2", gnutlsDatagramSuites(), "TestGnuTLSServerOverDatagrams", "TestGnuTLSClientOverDatagrams"},
		{"libcoap over OpenSSL, over GnuTLS", "DTLS 1.2", []peerSuite{{psktls.TLS_PSK_WITH_AES_128_CCM_8, ""}}, "TestLibcoapServer", "TestLibcoapClient"},
		{"Mosquitto, psk_file", "TLS 1.2", only(mosquittoSuites(), tls12), "TestMosquittoTakesOurKey", ""},
		{"Mosquitto, psk_file", "TLS 1.3", only(mosquittoSuites(), tls13), "TestMosquittoTakesOurKey", ""},
		{"pion/dtls v3", "DTLS 1.2", pionSuites, "TestPionServer", "TestPionClient"},
		{"mbed TLS 2.28", "TLS 1.2", mbedtlsSuites, "TestMbedTLSServer", "TestMbedTLSClient"},
		{"mbed TLS 2.28", "DTLS 1.2", mbedtlsSuites, "TestMbedTLSServerOverDatagrams", "TestMbedTLSClientOverDatagrams"},
	}
}

// table is the matrix as the page has it.
func table() string {
	var b strings.Builder
	b.WriteString("| Peer | Protocol | Suite | Our secret is in | Our client | Our server |\n| --- | --- | --- | --- | --- | --- |\n")
	name := func(test string) string {
		if test == "" {
			return "it has no client side"
		}
		return "`" + test + "`"
	}
	for _, row := range matrix() {
		for _, s := range row.suites {
			where := slices.DeleteFunc(slices.Clone(places), func(name string) bool { return !place{name: name}.can(s.id) })
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.peer, row.protocol,
				strings.TrimPrefix(psktls.CipherSuiteName(s.id), "TLS_"), strings.Join(where, ", "), name(row.client), name(row.server))
		}
	}
	return b.String()
}

const page = "../../../docs/psktls.md"

func TestThePagesMatrixIsWhatIsTested(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- matrix -->\n", "<!-- end of matrix -->\n"
	before, rest, hasBegin := strings.Cut(string(text), begin)
	old, after, hasEnd := strings.Cut(rest, end)
	if !hasBegin || !hasEnd {
		t.Fatal("docs/psktls.md has no place for the matrix")
	}
	if *writePage {
		if err := os.WriteFile(page, []byte(before+begin+"\n"+table()+"\n"+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if strings.TrimSpace(old) != strings.TrimSpace(table()) {
		t.Error("docs/psktls.md has another matrix: go test ./internal/interop/psk -run Matrix -write")
	}
}

func TestEveryTestThatThePageNamesIsThere(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var sources []byte
	for _, folder := range []string{".", "../../../psktls", "../../../psktls/dtls", "../../../device", "../../../internal/bench"} {
		files, err := filepath.Glob(folder + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, source...)
		}
	}
	named := regexp.MustCompile(`\b(Test|Fuzz|Benchmark)[A-Z]\w+`).FindAllString(string(text), -1)
	if len(named) < 20 {
		t.Errorf("the page names only %d tests", len(named))
	}
	for _, name := range named {
		if !strings.Contains(string(sources), "func "+name+"(") {
			t.Errorf("docs/psktls.md names %s, which is not there", name)
		}
	}
}
