package platformtest

import (
	"encoding/json"
	"net/http"

	"github.com/simroot/simroot/api"
)

// secret answers for one secret. It does not return while secrets are withheld.
func (p *Platform) secret(id string) api.HandedSecret {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.withheld {
		panic(http.ErrAbortHandler)
	}
	sealed, ok := p.sealed[id]
	if !ok {
		return api.HandedSecret{Credential: id, Refusal: &api.Error{Status: http.StatusNotFound, Code: api.CodeUnknownCred}}
	}
	return api.HandedSecret{Credential: id, Sealed: sealed}
}

func (p *Platform) serveSecret(w http.ResponseWriter, r *http.Request) {
	p.configure(func() { p.askedOne++ })
	answer := p.secret(r.PathValue("id"))
	if answer.Refusal != nil {
		refuse(w, answer.Refusal.Status, answer.Refusal.Code)
		return
	}
	json.NewEncoder(w).Encode(api.SealedSecret{Sealed: answer.Sealed})
}

func (p *Platform) serveSecrets(w http.ResponseWriter, r *http.Request) {
	var one bool
	p.configure(func() {
		p.askedMany++
		one = p.oneByOne
	})
	var request api.SecretsRequest
	switch err := json.NewDecoder(r.Body).Decode(&request); {
	case one:
		refuse(w, http.StatusNotFound, api.CodeBadRequest)
		return
	case err != nil || len(request.Credentials) > api.MaxSecrets:
		refuse(w, http.StatusBadRequest, api.CodeBadRequest)
		return
	}
	var page api.Page[api.HandedSecret]
	for _, id := range request.Credentials {
		page.Items = append(page.Items, p.secret(id))
	}
	json.NewEncoder(w).Encode(page)
}

// Withhold has the platform not answer for secrets, or ends that.
func (p *Platform) Withhold(withheld bool) { p.configure(func() { p.withheld = withheld }) }

// OneByOne makes the platform one of an earlier version, which is asked for one secret at a time, or ends that.
func (p *Platform) OneByOne(old bool) { p.configure(func() { p.oneByOne = old }) }

// SecretRequests is how many requests there were so far for one secret, and for many.
func (p *Platform) SecretRequests() (one, many int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.askedOne, p.askedMany
}

// LoseSecret has the platform know a secret no more.
func (p *Platform) LoseSecret(credential string) {
	p.configure(func() { delete(p.sealed, credential) })
}
