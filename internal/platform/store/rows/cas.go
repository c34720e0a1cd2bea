package rows

import "github.com/simroot/simroot/internal/platform/store"

const caColumns = "number, name, state, root, issuer, crossed, root_crl, since, until"

func scanCA(row scanner) (c store.CA, err error) {
	err = row.Scan(&c.Number, &c.Name, &c.State, &c.Root, &c.Issuer, &c.Cross, &c.RootCRL, moment{&c.Since}, moment{&c.Until})
	return c, err
}

// CAs implements [store.CAs].
func (t *Tx) CAs() ([]store.CA, error) {
	return list(t, scanCA, "SELECT "+caColumns+" FROM cas ORDER BY number")
}

// PutCA implements [store.CAs].
func (t *Tx) PutCA(c store.CA) error {
	step, err := t.CAStep()
	if err != nil {
		return err
	}
	t.numbers.CAStep = step + 1
	return t.change("INSERT INTO cas ("+caColumns+`, step) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (number) DO UPDATE SET name = excluded.name, state = excluded.state, root = excluded.root, issuer = excluded.issuer,
		crossed = excluded.crossed, root_crl = excluded.root_crl, since = excluded.since, until = excluded.until, step = excluded.step`,
		c.Number, c.Name, string(c.State), c.Root, c.Issuer, c.Cross, c.RootCRL, micros(c.Since), micros(c.Until), t.numbers.CAStep)
}

// CAStep implements [store.CAs]. A change was told it when it began.
func (t *Tx) CAStep() (step int64, err error) {
	if t.numbers.CAStep > 0 {
		return t.numbers.CAStep, t.failed
	}
	return step, t.one("SELECT coalesce(max(step), 0) FROM cas", nil, &step)
}
