package rows

import (
	"fmt"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

const campaignColumns = "id, fleet, kind, state, canary, reason, note, actor, created, updated"

func scanCampaign(row scanner) (c api.Campaign, err error) {
	err = row.Scan(&c.ID, &c.Fleet, &c.Kind, &c.State, &c.Canary, &c.Reason, &c.Note, &c.Actor, moment{&c.Created}, moment{&c.Updated})
	return c, err
}

// InsertCampaign implements [store.Campaigns].
func (t *Tx) InsertCampaign(c api.Campaign) error {
	return t.insert("INSERT INTO campaigns ("+campaignColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		c.ID, c.Fleet, string(c.Kind), string(c.State), int64(c.Canary), string(c.Reason), c.Note, c.Actor, micros(c.Created), micros(c.Updated))
}

// Campaign implements [store.Campaigns].
func (t *Tx) Campaign(id string) (api.Campaign, error) {
	return single(t, scanCampaign, "SELECT "+campaignColumns+" FROM campaigns WHERE id = ?", id)
}

// ListCampaigns implements [store.Campaigns].
func (t *Tx) ListCampaigns(fleet, after string, limit int) ([]api.Campaign, error) {
	return list(t, scanCampaign, "SELECT "+campaignColumns+" FROM campaigns WHERE id > ? AND (?2 = '' OR fleet = ?2) ORDER BY id LIMIT ?", after, fleet, limit)
}

// OpenCampaigns implements [store.Campaigns].
func (t *Tx) OpenCampaigns(fleet string) ([]api.Campaign, error) {
	if fleet == "" {
		return list(t, scanCampaign, "SELECT "+campaignColumns+" FROM campaigns WHERE state IN ('running', 'paused') ORDER BY id")
	}
	return list(t, scanCampaign, "SELECT "+campaignColumns+" FROM campaigns WHERE fleet = ? AND state IN ('running', 'paused') ORDER BY id", fleet)
}

// UpdateCampaign implements [store.Campaigns].
func (t *Tx) UpdateCampaign(c api.Campaign) error {
	return t.change("UPDATE campaigns SET state = ?, canary = ?, updated = ? WHERE id = ?", string(c.State), int64(c.Canary), micros(c.Updated), c.ID)
}

// The SIMs that remain. A canary is told by the two digits before the check digit of its
// ICCID, which number the SIMs of a batch through.
const (
	olderCredentials = ` FROM credentials WHERE fleet = ?1 AND state = 'active' AND created < ?2
		AND (?3 = '' OR substr(iccid, length(iccid) - 2, 2) < ?3)`
	otherAnchors = ` FROM sims WHERE fleet = ?1 AND state IN ('provisioned', 'suspended') AND anchors <> ?2
		AND (?3 = '' OR substr(iccid, length(iccid) - 2, 2) < ?3)`
)

func remaining(s store.CampaignSelection) (anchors bool, args []any) {
	below := ""
	if s.Canaries {
		below = fmt.Sprintf("%02d", s.Campaign.Canary)
	}
	if s.Campaign.Kind == api.AnchorAll {
		return true, []any{s.Campaign.Fleet, s.Anchors, below}
	}
	return false, []any{s.Campaign.Fleet, micros(s.Campaign.Created), below}
}

// CampaignRemaining implements [store.Campaigns].
func (t *Tx) CampaignRemaining(s store.CampaignSelection) (n int, err error) {
	anchors, args := remaining(s)
	if anchors {
		return n, t.one("SELECT count(*)"+otherAnchors, args, &n)
	}
	return n, t.one("SELECT count(*)"+olderCredentials, args, &n)
}

func scanText(row scanner) (s string, err error) { return s, row.Scan(&s) }

// CampaignNext implements [store.Campaigns].
func (t *Tx) CampaignNext(s store.CampaignSelection, limit int) ([]string, error) {
	anchors, args := remaining(s)
	if args = append(args, limit); anchors {
		return list(t, scanText, "SELECT iccid"+otherAnchors+" LIMIT ?4", args...)
	}
	return list(t, scanText, "SELECT iccid"+olderCredentials+" LIMIT ?4", args...)
}

// SetCampaignSIM implements [store.Campaigns].
func (t *Tx) SetCampaignSIM(campaign string, s api.CampaignSIM) error {
	return t.change(`INSERT INTO campaign_sims (campaign, iccid, state, attempts, problem, credential, updated) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (campaign, iccid) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
		problem = excluded.problem, credential = excluded.credential, updated = excluded.updated`,
		campaign, s.ICCID, string(s.State), int64(s.Attempts), s.Problem, s.Credential, micros(s.Updated))
}

const campaignSIMColumns = "iccid, state, attempts, problem, credential, updated"

func scanCampaignSIM(row scanner) (s api.CampaignSIM, err error) {
	err = row.Scan(&s.ICCID, &s.State, &s.Attempts, &s.Problem, &s.Credential, moment{&s.Updated})
	return s, err
}

// CampaignSIM implements [store.Campaigns].
func (t *Tx) CampaignSIM(campaign, iccid string) (api.CampaignSIM, error) {
	return single(t, scanCampaignSIM, "SELECT "+campaignSIMColumns+" FROM campaign_sims WHERE campaign = ? AND iccid = ?", campaign, iccid)
}

// ListCampaignSIMs implements [store.Campaigns].
func (t *Tx) ListCampaignSIMs(campaign string, state api.CampaignSIMState, after string, limit int) ([]api.CampaignSIM, error) {
	return list(t, scanCampaignSIM, "SELECT "+campaignSIMColumns+` FROM campaign_sims
		WHERE campaign = ? AND iccid > ? AND (?3 = '' OR state = ?3) ORDER BY iccid LIMIT ?`, campaign, after, string(state), limit)
}

// CountCampaignSIMs implements [store.Campaigns].
func (t *Tx) CountCampaignSIMs(campaign string, state api.CampaignSIMState) (n int, err error) {
	return n, t.one("SELECT count(*) FROM campaign_sims WHERE campaign = ? AND state = ?", []any{campaign, string(state)}, &n)
}

// ForgetFailed implements [store.Campaigns].
func (t *Tx) ForgetFailed(campaign string) (int64, error) {
	return t.exec("DELETE FROM campaign_sims WHERE campaign = ? AND state = 'failed'", campaign)
}
