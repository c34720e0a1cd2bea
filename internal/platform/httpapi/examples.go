package httpapi

import (
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
)

// What the examples tell of: one SIM of one fleet.
const (
	exampleICCID = "8988211000000000017"
	exampleFleet = "meters"
	examplePEM   = "-----BEGIN CERTIFICATE-----\nMIIB9TCCAZugAwIBAgIQ...\n-----END CERTIFICATE-----\n"
)

var (
	exampleTime = time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC)
	exampleEnd  = exampleTime.Add(2160 * time.Hour)
	// exampleDER begins as every DER structure of some length does; bytes are base64 in JSON.
	exampleDER  = []byte{0x30, 0x82, 0x01, 0xF5, 0x30, 0x82, 0x01, 0x9B}
	exampleKey  = []byte("32 bytes of an X25519 public key")
	exampleHash = api.AuditHash([]byte("32 bytes of a hash over the line"))

	exampleSIM = api.SIM{ICCID: exampleICCID, Fleet: exampleFleet, State: api.Provisioned, Created: exampleTime, Updated: exampleTime, LastSeen: exampleTime,
		Attributes: api.Attributes{"tenant": "north"}}
	exampleCredential = api.Credential{ID: "c7f2a90e51d44b38", ICCID: exampleICCID, Fleet: exampleFleet, Type: api.CertificateType, State: api.Active,
		Certificate: exampleDER, Fingerprint: []byte("32 bytes of SHA-256 over the DER"), Serial: "4ab1907c52e3", NotBefore: exampleTime, NotAfter: exampleEnd, Created: exampleTime, Updated: exampleTime}
	exampleToken     = api.Token{ID: "t5c0e11", Name: "night shift", Role: api.RoleOperator, Created: exampleTime, Expires: exampleEnd}
	exampleAppServer = api.AppServer{ID: "s81d20c", Name: "broker", Fleets: []string{exampleFleet}, Created: exampleTime, InvitedUntil: exampleTime.Add(24 * time.Hour)}
)

// examples are those of bodies in JSON, by their types. A page needs none of its own.
var examples = byType(
	Health{Status: "ok"},
	api.KEKStatus{Keys: []api.KEK{{ID: "9f3c51d27a60e884", Name: "pkcs11:token=hsm;object=kek-2026", Current: true, Secrets: 120000}}},
	api.Fleet{Name: exampleFleet, Profile: api.Profile{Type: api.CertificateType}.WithDefaults(), Created: exampleTime, Version: 1},
	exampleSIM,
	exampleCredential,
	api.SealedSecret{Sealed: exampleKey},
	api.SecretsRequest{Credentials: []string{exampleCredential.ID}},
	api.HandedSecret{Credential: exampleCredential.ID, Sealed: exampleKey},
	api.EnrolmentSecret{ICCID: exampleICCID, Secret: "shown this once", Created: exampleTime},
	api.ImportResult{Imported: 1000},
	api.Campaign{ID: "k2b7", Fleet: exampleFleet, Kind: api.RotateAll, State: api.CampaignRunning, Canary: 5, Actor: "night shift", Created: exampleTime, Updated: exampleTime,
		Progress: &api.CampaignProgress{Done: 50, Remaining: 950}},
	api.CampaignSIM{ICCID: exampleICCID, State: api.SIMTrying, Attempts: 1, Problem: "the SIM did not answer", Updated: exampleTime},
	api.CARollover{State: api.RolloverBegun, Issuing: "simroot root 51c0ffee", Next: "simroot root 7a11c0de", Since: exampleTime, Without: map[string]int{exampleFleet: 12}},
	api.TransportKey{Key: exampleKey},
	api.BatchKey{Key: exampleKey, Note: "lot 7 of Example Cards", Created: exampleTime, Expires: exampleTime.Add(720 * time.Hour)},
	api.ServerRequest{Names: []string{"broker.example.org"}, CSR: exampleDER},
	api.ServerCertificate{Chain: examplePEM},
	api.IssuedServerCertificate{Serial: "4ab1907c52e3", Names: []string{"broker.example.org"}, Certificate: exampleDER, NotBefore: exampleTime, NotAfter: exampleEnd, Created: exampleTime},
	exampleToken,
	api.NewToken{Token: exampleToken, Secret: "simroot_shown-this-once"},
	exampleAppServer,
	api.NewAppServer{AppServer: exampleAppServer, Token: "simroot_shown-this-once"},
	api.Registration{Token: "simroot_shown-this-once", CSR: exampleDER, SealingKey: exampleKey},
	api.Registered{AppServer: exampleAppServer, Chain: examplePEM},
	api.AuditEntry{Seq: 812, Time: exampleTime, Actor: "night shift", Action: "sim.suspend", Subject: exampleICCID, Before: "provisioned", After: "suspended", Note: "lost", Hash: exampleHash},
	api.AuditHead{Seq: 812, Time: exampleTime, Hash: exampleHash, Signature: exampleDER},
	api.RelayOpen{Version: 1, ICCID: exampleICCID, Applet: []byte{0xA0, 0x00, 0x00, 0x00, 0x59}, Agent: "meter 2.1"},
	api.RelayAnswers{Step: 1, Responses: [][]byte{{0x90, 0x00}}},
	api.RelayStep{Session: "5d1c07", Step: 1, Commands: [][]byte{{0x80, 0x50, 0x30, 0x00, 0x08, 1, 2, 3, 4, 5, 6, 7, 8, 0x00}}},
	api.FeedLine{Event: &api.Event{Seq: 4711, Time: exampleTime, SIM: &exampleSIM}},
)

// textExamples are those of other bodies, by their media types.
var textExamples = map[string]string{
	"application/x-ndjson": `{"format":"simroot-batch-1","transport_key":"MzIgYnl0ZXMgb2YgYW4gWDI1NTE5IHB1YmxpYyBrZXk="}` + "\n" +
		`{"iccid":"` + exampleICCID + `","key_version":48,"domain":"oAAAAFk=","sealed":"..."}` + "\n" + `{"end":1}` + "\n",
	openAPIType:   `{"openapi":"3.1.0","info":{"title":"simroot security services platform","version":"1"}}`,
	pemType:       examplePEM,
	crlPEMType:    "-----BEGIN X509 CRL-----\nMIIBIjCByQIBATAKBggq...\n-----END X509 CRL-----\n",
	requestType:   "MIHTMHoCAQAwGDEWMBQGA1UEBRMNODk4ODIxMTk5OTkwMDBZMBMGByqGSM49AgEG...",
	certsOnlyType: "MIICLAYJKoZIhvcNAQcCoIICHTCCAhkCAQExADAL...",
	attrsType:     "MBMGByqGSM49AgEGCCqGSM49AwEH",
	multipartType: "--b\r\nContent-Type: application/pkcs8\r\nContent-Transfer-Encoding: base64\r\n\r\nMIGHAgEAMBMG...\r\n" +
		"--b\r\nContent-Type: " + certsOnlyType + "\r\nContent-Transfer-Encoding: base64\r\n\r\nMIICLAYJKoZI...\r\n--b--\r\n",
}

// binaryExamples are those of bodies in DER, which a document can only show in base64.
var binaryExamples = map[string]string{
	crlType:          "MIIBHzCBxwIBATAKBggqhkjOPQQDAjAj...",
	ocspRequestType:  "MEIwQDA+MDwwOjAJBgUrDgMCGgUABBT...",
	ocspResponseType: "MIIBNgoBAKCCAS8wggErBgkrBgEFBQcw...",
}

func byType(all ...any) map[reflect.Type]any {
	m := make(map[reflect.Type]any, len(all))
	for _, v := range all {
		m[reflect.TypeOf(v)] = v
	}
	return m
}

// exampleOf is the example of a type, or nil. That of a list is a page with one item.
func exampleOf(t reflect.Type) any {
	if v, ok := examples[t]; ok || t.Kind() != reflect.Struct {
		return v
	}
	items, ok := t.FieldByName("Items")
	if !ok || items.Type.Kind() != reflect.Slice {
		return nil
	}
	item, ok := examples[items.Type.Elem()]
	if !ok {
		return nil
	}
	page := reflect.New(t).Elem()
	page.FieldByIndex(items.Index).Set(reflect.Append(reflect.Zero(items.Type), reflect.ValueOf(item)))
	return page.Interface()
}

// exemplify gives every body in the document that has no example the one of its type.
func exemplify(d *huma.OpenAPI) {
	for _, path := range d.Paths {
		for _, op := range operations(path) {
			if op.RequestBody != nil {
				exemplifyContent(d, op.RequestBody.Content)
			}
			for status, r := range op.Responses {
				if strings.HasPrefix(status, "2") {
					exemplifyContent(d, r.Content)
				}
			}
		}
	}
}

// operations are those of a path that are there.
func operations(p *huma.PathItem) (all []*huma.Operation) {
	for _, op := range []*huma.Operation{p.Get, p.Post, p.Put, p.Delete} {
		if op != nil {
			all = append(all, op)
		}
	}
	return all
}

func exemplifyContent(d *huma.OpenAPI, content map[string]*huma.MediaType) {
	for kind, body := range content {
		if body.Example != nil || body.Examples != nil {
			continue
		}
		if body.Schema != nil && body.Schema.Ref != "" {
			body.Example = exampleOf(d.Components.Schemas.TypeFromRef(body.Schema.Ref))
		} else if text, ok := textExamples[kind]; ok {
			body.Example = text
		} else if base64, ok := binaryExamples[kind]; ok {
			body.Examples = map[string]*huma.Example{"der": {Summary: "DER, shown here in base64", Value: base64}}
		}
	}
}
