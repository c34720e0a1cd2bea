package rows

import (
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

// loaded leaves out the SIMs of batches that are loading.
const loaded = " AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.id = sims.batch AND batches.state = 'loading') "

const batchColumns = "id, fleet, state, imported, rejected, announced, updated"

func scanBatch(row scanner) (b store.Batch, err error) {
	err = row.Scan(&b.ID, &b.Fleet, &b.State, &b.Imported, &b.Rejected, &b.Announced, moment{&b.Updated})
	return b, err
}

// InsertBatch implements [store.Batches].
func (t *Tx) InsertBatch(b store.Batch) error {
	return t.insert("INSERT INTO batches ("+batchColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
		b.ID, b.Fleet, string(b.State), b.Imported, b.Rejected, b.Announced, micros(b.Updated))
}

// Batch implements [store.Batches].
func (t *Tx) Batch(id string) (store.Batch, error) {
	return single(t, scanBatch, "SELECT "+batchColumns+" FROM batches WHERE id = ?", id)
}

// UpdateBatch implements [store.Batches].
func (t *Tx) UpdateBatch(b store.Batch) error {
	return t.change("UPDATE batches SET state = ?, imported = ?, rejected = ?, announced = ?, updated = ? WHERE id = ?",
		string(b.State), b.Imported, b.Rejected, b.Announced, micros(b.Updated), b.ID)
}

// UnfinishedBatches implements [store.Batches].
func (t *Tx) UnfinishedBatches(before time.Time) ([]store.Batch, error) {
	return list(t, scanBatch, "SELECT "+batchColumns+" FROM batches WHERE state <> 'complete' AND updated < ? ORDER BY id", micros(before))
}

// DeleteBatch implements [store.Batches].
func (t *Tx) DeleteBatch(id string) error {
	return t.change("DELETE FROM batches WHERE id = ?", id)
}

// BatchOf implements [store.Batches].
func (t *Tx) BatchOf(iccid string) (batch string, err error) {
	return batch, t.one("SELECT batch FROM sims WHERE iccid = ?", []any{iccid}, &batch)
}

// SIMsOfBatch implements [store.Batches].
func (t *Tx) SIMsOfBatch(batch, after string, limit int) ([]store.SIM, error) {
	return list(t, scanSIM, "SELECT "+simColumns+" FROM sims WHERE batch = ? AND iccid > ? ORDER BY iccid LIMIT ?", batch, after, limit)
}

// DeleteSIMsOfBatch implements [store.Batches].
func (t *Tx) DeleteSIMsOfBatch(batch, after, to string) error {
	if _, err := t.exec(`DELETE FROM enrolment_secrets WHERE iccid > ? AND iccid <= ?
		AND iccid IN (SELECT iccid FROM sims WHERE batch = ? AND iccid > ?1 AND iccid <= ?2)`, after, to, batch); err != nil {
		return err
	}
	_, err := t.exec("DELETE FROM sims WHERE batch = ? AND iccid > ? AND iccid <= ?", batch, after, to)
	return err
}
